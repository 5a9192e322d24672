import sharp from 'sharp'
import { detectFormat, type ReadableFormat, readableFormats } from './format.ts'
import { ImageError, type RgbImage, type Size } from './image.ts'
import { defaultImageLimits, type ImageLimits } from './limits.ts'

export { defaultImageLimits, type ImageLimits } from './limits.ts'

/** 8-bit sRGB, [H,W,3], or [H,W,4] with straight alpha. */
export interface RawPixels extends Size {
  readonly channels: 3 | 4
  readonly pixels: Uint8Array
}

const decodeTimeoutSeconds = 60

/**
 * Decodes a JPEG, PNG, WebP, GIF, AVIF or TIFF into 8-bit sRGB, upright, without its metadata.
 *
 * The EXIF orientation is applied, embedded profiles (and CMYK, grey, palette, 16 bits) are converted, of several frames
 * the first is taken. Transparent pixels are laid on white; if any pixel is not opaque the alpha plane comes too, since
 * it can serve as a foreground mask. Work is done in libvips' threads. Throws an ImageError that begins with `name`
 * for another format, a damaged or truncated file, or one beyond the limits.
 */
export async function decodeImage(
  bytes: Uint8Array,
  limits: ImageLimits = defaultImageLimits,
  name = 'image',
): Promise<RgbImage> {
  const { widthPx, heightPx, channels, pixels } = await decodeRaw(bytes, limits, name)
  if (channels === 3) return { widthPx, heightPx, pixels, alpha: null }
  // Made anew each time: a clone of sharp's would copy all the pixels, on this thread.
  const raw = () =>
    sharp(pixels, { raw: { width: widthPx, height: heightPx, channels }, limitInputPixels: limits.maxPixels })
  const alpha = await raw().extractChannel(3).raw().toBuffer()
  const onWhite = await raw().flatten({ background: '#ffffff' }).raw().toBuffer()
  return { widthPx, heightPx, pixels: asBytes(onWhite), alpha: isOpaque(alpha, widthPx) ? null : asBytes(alpha) }
}

/** As decodeImage, but colours under transparent pixels stay as they are. */
export async function decodeRaw(bytes: Uint8Array, limits: ImageLimits, name: string): Promise<RawPixels> {
  const header = await readHeader(bytes, limits, name)
  const { data, info } = await decodePixels(bytes, limits, header, strictness(header.format))
    .catch((cause: unknown) => {
      if (!isHarmless(cause)) throw cause
      return decodePixels(bytes, limits, header, 'error')
    })
    .catch((cause: unknown) => {
      throw damaged(name, header.format, cause)
    })
  if (info.channels !== 3 && info.channels !== 4) {
    throw new ImageError(`${name}: decodes to ${info.channels} channels, allowed are 3 (RGB) and 4 (RGB and alpha)`)
  }
  return { widthPx: info.width, heightPx: info.height, channels: info.channels, pixels: asBytes(data) }
}

function decodePixels(bytes: Uint8Array, limits: ImageLimits, header: Header, failOn: 'warning' | 'error') {
  const pipeline = sharp(bytes, { autoOrient: true, failOn, limitInputPixels: limits.maxPixels })
    .timeout({ seconds: decodeTimeoutSeconds })
    .toColourspace('srgb')
  // sharp brings 16-bit pictures that carry a profile to Display P3, and takes that for sRGB unless told the output's.
  if (header.deepWithProfile) pipeline.withIccProfile('srgb')
  return pipeline.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true })
}

/** libjpeg only warns of missing and garbled data; elsewhere warnings are about tags, and below 'error' a cut TIFF passes. */
function strictness(format: ReadableFormat): 'warning' | 'error' {
  return format === 'jpeg' ? 'warning' : 'error'
}

/** What some phones and cameras write into JPEGs whose pixels are intact. */
function isHarmless(cause: unknown): boolean {
  return cause instanceof Error && /Invalid SOS parameters|extraneous bytes before marker/.test(cause.message)
}

function isOpaque(alpha: Buffer, widthPx: number): boolean {
  const opaqueRow = Buffer.alloc(widthPx, 255)
  for (let start = 0; start < alpha.length; start += widthPx) {
    if (!opaqueRow.equals(alpha.subarray(start, start + widthPx))) return false
  }
  return true
}

/** Without Buffer's own methods: `slice` of one shares memory, that of the other copies. */
function asBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

interface Header {
  readonly format: ReadableFormat
  readonly deepWithProfile: boolean
}

/** Checks everything that a file tells before its pixels are decoded. */
async function readHeader(bytes: Uint8Array, limits: ImageLimits, name: string): Promise<Header> {
  if (bytes.length === 0) throw new ImageError(`${name}: the file is empty`)
  if (bytes.length > limits.maxBytes) {
    throw new ImageError(`${name}: the file has ${bytes.length} bytes, allowed are ${limits.maxBytes}`)
  }
  const detected = detectFormat(bytes)
  if (!detected.readable) {
    throw new ImageError(`${name}: the file is ${detected.name}, allowed are ${readableFormats.join(', ')}`)
  }
  const { format } = detected
  // The pixel limit is off so that the message can tell the size: reading a header allocates no pixels.
  const header = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((cause: unknown) => {
      throw damaged(name, format, cause)
    })
  requireSize(header.autoOrient.width, header.autoOrient.height, limits, name)
  return { format, deepWithProfile: header.depth === 'ushort' && header.hasProfile }
}

function requireSize(width: number, height: number, limits: ImageLimits, name: string): void {
  const { minSidePx, maxSidePx, maxPixels } = limits
  if (Math.min(width, height) < minSidePx || Math.max(width, height) > maxSidePx) {
    throw new ImageError(`${name}: ${width} × ${height} px, sides of ${minSidePx} to ${maxSidePx} px are allowed`)
  }
  if (width * height > maxPixels) {
    const megapixels = (pixels: number) => (pixels / 1e6).toFixed(1)
    throw new ImageError(
      `${name}: ${width} × ${height} px are ${megapixels(width * height)} megapixels, allowed are ${megapixels(maxPixels)}`,
    )
  }
}

function damaged(name: string, format: string, cause: unknown): ImageError {
  const reason = cause instanceof Error ? (cause.message.trim().split('\n')[0] ?? '') : String(cause)
  if (reason.startsWith('timeout')) {
    return new ImageError(`${name}: decoding the ${format} file took over ${decodeTimeoutSeconds} s`, { cause })
  }
  return new ImageError(`${name}: the ${format} file is damaged or cut short (${reason})`, { cause })
}
