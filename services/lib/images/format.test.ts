import { detectFormat } from './format.ts'

function detect(...parts: readonly (string | readonly number[])[]) {
  const detected = detectFormat(
    Buffer.concat(parts.map((p) => (typeof p === 'string' ? Buffer.from(p) : Buffer.from(p)))),
  )
  return detected.readable ? detected.format : `refused: ${detected.name}`
}

const ftyp = (...brands: readonly string[]) => [
  [0, 0, 0, 8 + 4 * brands.length + 4],
  'ftyp',
  brands[0]!,
  [0, 0, 0, 0],
  ...brands.slice(1),
]

test('tells the formats that are read by their bytes', () => {
  expect(detect([0xff, 0xd8, 0xff, 0xe0])).toBe('jpeg')
  expect(detect([0x89], 'PNG\r\n', [0x1a, 0x0a])).toBe('png')
  expect(detect('RIFF', [1, 2, 3, 4], 'WEBPVP8X')).toBe('webp')
  expect(detect('GIF89a')).toBe('gif')
  expect(detect('MM', [0, 42])).toBe('tiff')
  expect(detect('II', [43, 0])).toBe('tiff')
  expect(detect(...ftyp('avif', 'mif1'))).toBe('avif')
  expect(detect(...ftyp('mif1', 'miaf', 'avif'))).toBe('avif')
})

test('names the formats that are refused', () => {
  expect(detect('<svg xmlns="http://www.w3.org/2000/svg"/>')).toBe('refused: SVG')
  expect(detect([0xef, 0xbb, 0xbf], '\n<?xml version="1.0"?>\n<!-- a -->\n<svg>')).toBe('refused: SVG')
  expect(detect('<!DOCTYPE html><html>')).toBe('refused: HTML')
  expect(detect('%PDF-1.7')).toBe('refused: PDF')
  expect(detect('BM', [1, 2, 3, 4])).toBe('refused: BMP')
  expect(detect(...ftyp('heic', 'mif1'))).toBe('refused: HEIC (HEVC-coded HEIF)')
  expect(detect(...ftyp('isom', 'mp41'))).toBe('refused: a video (ISO base media)')
  expect(detect('a dog in a garden')).toBe('refused: text')
  expect(detect([0, 0xde, 0xad, 1, 2])).toBe('refused: unknown data (first bytes 00dead01)')
})
