/** Formats that are decoded. AVIF is the AV1-coded HEIF; the HEVC-coded one (HEIC) needs a patented decoder. */
export const readableFormats = ['jpeg', 'png', 'webp', 'gif', 'avif', 'tiff'] as const
export type ReadableFormat = (typeof readableFormats)[number]

/** What the first bytes of a file say: a format that is decoded, or the name of one that is not. */
export type Detected =
  | { readonly readable: true; readonly format: ReadableFormat }
  | { readonly readable: false; readonly name: string }

/** A format, the bytes (as Latin-1) that files of it have, and from which byte. */
type Signature<Name> = readonly [name: Name, offset: number, bytes: string]

const readableSignatures: readonly Signature<ReadableFormat>[] = [
  ['jpeg', 0, '\xff\xd8\xff'],
  ['png', 0, '\x89PNG\r\n\x1a\n'],
  ['webp', 8, 'WEBPVP8'],
  ['gif', 0, 'GIF87a'],
  ['gif', 0, 'GIF89a'],
  ['tiff', 0, 'II*\0'],
  ['tiff', 0, 'MM\0*'],
  ['tiff', 0, 'II+\0'],
  ['tiff', 0, 'MM\0+'],
]

const refusedSignatures: readonly Signature<string>[] = [
  ['PDF', 0, '%PDF-'],
  ['BMP', 0, 'BM'],
  ['ICO', 0, '\0\0\x01\0'],
  ['Photoshop', 0, '8BPS'],
  ['JPEG XL', 0, '\xff\x0a'],
  ['JPEG XL', 4, 'JXL '],
  ['JPEG 2000', 4, 'jP  '],
  ['JPEG 2000', 0, '\xff\x4f\xff\x51'],
  ['OpenEXR', 0, '\x76\x2f\x31\x01'],
  ['Radiance HDR', 0, '#?RADIANCE'],
  ['ZIP', 0, 'PK\x03\x04'],
  ['gzip', 0, '\x1f\x8b'],
]

/** Detects a file's format from at most its first 1024 bytes, never from a name or a declared type. */
export function detectFormat(bytes: Uint8Array): Detected {
  const head = Buffer.from(bytes.subarray(0, 1024)).toString('latin1')
  const readable = readableSignatures.find(([, offset, signature]) => head.startsWith(signature, offset))
  if (readable !== undefined) return { readable: true, format: readable[0] }
  const brands = isoBrands(head)
  if (brands !== null) return isoFormat(brands)
  const refused = refusedSignatures.find(([, offset, signature]) => head.startsWith(signature, offset))
  return { readable: false, name: refused === undefined ? textOrUnknown(bytes, head) : refused[0] }
}

/** Major and compatible brands of an ISO base media file (ISO/IEC 14496-12, `ftyp`), or null if it is none. */
function isoBrands(head: string): readonly string[] | null {
  if (head.slice(4, 8) !== 'ftyp') return null
  const boxEnd = Math.min(Buffer.from(head.slice(0, 4), 'latin1').readUInt32BE(), head.length)
  const brands = [head.slice(8, 12)]
  for (let offset = 16; offset + 4 <= boxEnd; offset += 4) brands.push(head.slice(offset, offset + 4))
  return brands
}

function isoFormat(brands: readonly string[]): Detected {
  if (brands.some((brand) => brand === 'avif' || brand === 'avis')) return { readable: true, format: 'avif' }
  if (brands.some((brand) => /^he[iv][cmsx]$/.test(brand))) return { readable: false, name: 'HEIC (HEVC-coded HEIF)' }
  if (brands.some((brand) => brand === 'mif1' || brand === 'msf1')) return { readable: false, name: 'HEIF without AV1' }
  return { readable: false, name: 'a video (ISO base media)' }
}

const whitespace = [0x09, 0x0a, 0x0c, 0x0d]

function textOrUnknown(bytes: Uint8Array, head: string): string {
  if (/^(?:\xef\xbb\xbf)?\s*<(?:\?xml|!--|!DOCTYPE|svg)/i.test(head) && /<svg[\s>:]/i.test(head)) return 'SVG'
  if (/^(?:\xef\xbb\xbf)?\s*<(?:!DOCTYPE html|html|head|body)/i.test(head)) return 'HTML'
  if (/^(?:\xef\xbb\xbf)?\s*<\?xml/i.test(head)) return 'XML'
  if (!bytes.subarray(0, head.length).some((byte) => byte < 0x20 && !whitespace.includes(byte))) return 'text'
  const first = Buffer.from(bytes.subarray(0, 4)).toString('hex')
  return `unknown data (first bytes ${first})`
}
