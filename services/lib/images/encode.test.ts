import sharp from 'sharp'
import { decodeImage } from './decode.ts'
import { encodeImage, readMetadata } from './encode.ts'
import { testImage } from './test-images.ts'

const image = testImage(48, 32)
const provenance = {
  seed: 2n ** 64n - 1n,
  settings: {
    prompt: 'a "dog" <in> & \'a\' Größe 中😀 &amp; ]]> garden\u0001\uffff\ud800',
    steps: 50,
    strength: 1.05,
    masked: true,
  },
}

test.each(['png', 'jpeg', 'webp'] as const)(
  'a %s tells its seed, its settings and that it was generated',
  async (format) => {
    const file = await encodeImage(image, format, provenance)
    const metadata = await readMetadata(file)
    expect(metadata.format).toBe(format)
    expect(metadata.provenance).toEqual(provenance)
    expect(metadata.digitalSourceType).toBe('http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia')
    // libvips finds the packet by itself, and it is nothing but well-formed XML 1.0 characters.
    const { xmpAsString, exif, icc } = await sharp(file).metadata()
    expect(xmpAsString).toContain(`<moma:seed>${provenance.seed}</moma:seed>`)
    expect(xmpAsString).toMatch(/^[\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]*$/u)
    expect([exif, icc]).toEqual([undefined, undefined])
  },
)

test('a PNG holds the pixels, and texts that viewers show', async () => {
  const file = await encodeImage(image, 'png', provenance)
  expect(await decodeImage(file)).toEqual(image)
  const { texts } = await readMetadata(file)
  expect(texts.Software).toBe('MoMA Mesh')
  expect(texts['XML:com.adobe.xmp']).toContain('<?xpacket begin')
  expect(Buffer.from(file).includes('zTXt')).toBe(false)
  expect(texts.seed).toBe('18446744073709551615')
  expect(JSON.parse(texts.settings!)).toEqual(provenance.settings)
})

test('the same picture and settings give the same bytes', async () => {
  expect(await encodeImage(image, 'png', provenance)).toEqual(await encodeImage(image, 'png', provenance))
})

test('decoding strips all of it', async () => {
  const { pixels, ...rest } = await decodeImage(await encodeImage(image, 'webp', provenance))
  expect(rest).toEqual({ widthPx: 48, heightPx: 32, alpha: null })
})

test('a file of somebody else has no provenance', async () => {
  const file = await sharp({ create: { width: 16, height: 16, channels: 3, background: '#fff' } })
    .png()
    .toBuffer()
  expect(await readMetadata(file)).toEqual({ format: 'png', digitalSourceType: null, provenance: null, texts: {} })
})

test('what can not be written', async () => {
  await expect(encodeImage(image, 'png', { seed: -1n, settings: {} })).rejects.toThrow(
    'seed: -1, must be from 0 to 2^64 − 1',
  )
  await expect(encodeImage(image, 'png', { seed: 2n ** 64n, settings: {} })).rejects.toThrow(
    'seed: 18446744073709551616',
  )
  await expect(encodeImage(image, 'png', { seed: 1n, settings: { strength: Number.NaN } })).rejects.toThrow(
    "setting 'strength': NaN, must be a finite number",
  )
  await expect(encodeImage(image, 'jpeg', { seed: 1n, settings: { prompt: '&'.repeat(20_000) } })).rejects.toThrow(
    /^settings: \d+ bytes as XMP, allowed are 60000$/,
  )
  await expect(encodeImage({ ...image, widthPx: 47 }, 'png', provenance)).rejects.toThrow('pixels: 47 × 32 px')
})

test('the longest settings that are allowed come through a JPEG', async () => {
  const long = { seed: 1n, settings: { prompt: 'x'.repeat(59_300) } }
  expect((await readMetadata(await encodeImage(image, 'jpeg', long))).provenance).toEqual(long)
})
