import { decodeRaw, defaultImageLimits, type ImageLimits } from './decode.ts'
import { type GreyImage, ImageError, type Size } from './image.ts'
import { nearestIndices, resizeNearest } from './resize.ts'

/**
 * From this level on a pixel is subject. The authors' code takes every level above 0; a mask saved as JPEG has ringing
 * around the subject's outline, which that rule would make subject.
 */
const subjectFromLevel = 128

/** How far the mask's ratio of width to height may be from the photo's. */
const ratioTolerance = 0.02

/**
 * Decodes a foreground mask (white = subject) to 0 and 255 at the working size, by nearest neighbour.
 *
 * A mask may have any size with the photo's ratio of sides (within 2 %). It is read from luminance, transparent pixels
 * counting as background; if all that is visible is of one brightness, alpha is the only information and is taken.
 * Throws an ImageError for a file that decodeImage would refuse, for another ratio, and for a mask without any subject
 * or without any background.
 */
export async function decodeMask(
  bytes: Uint8Array,
  photo: Size,
  working: Size,
  limits: ImageLimits = defaultImageLimits,
): Promise<GreyImage> {
  const raw = await decodeRaw(bytes, limits, 'mask')
  requireSameRatio(raw, photo)
  const columns = nearestIndices(raw.widthPx, working.widthPx)
  const rows = nearestIndices(raw.heightPx, working.heightPx)
  const luminance = new Uint8Array(working.widthPx * working.heightPx)
  const alpha = new Uint8Array(luminance.length).fill(255)
  for (let y = 0; y < working.heightPx; y++) {
    for (let x = 0; x < working.widthPx; x++) {
      const source = (rows[y]! * raw.widthPx + columns[x]!) * raw.channels
      const [red, green, blue] = [raw.pixels[source]!, raw.pixels[source + 1]!, raw.pixels[source + 2]!]
      const i = y * working.widthPx + x
      luminance[i] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue)
      if (raw.channels === 4) alpha[i] = raw.pixels[source + 3]!
    }
  }
  const opaque = binary(alpha, () => true)
  const bright = binary(luminance, (i) => opaque[i] === 255)
  const brightCount = count(bright)
  const alphaAlone = brightCount === 0 || brightCount === count(opaque)
  const pixels = alphaAlone && count(opaque) < opaque.length ? opaque : bright
  return requireSubject({ widthPx: working.widthPx, heightPx: working.heightPx, pixels }, 'mask')
}

/** A plane (a photo's alpha, a segmentation's probability in 8 bits) as a mask of 0 and 255; throws as decodeMask does. */
export function maskFromPlane(plane: GreyImage, working: Size, name = 'mask'): GreyImage {
  const resized = resizeNearest(plane, working.widthPx, working.heightPx)
  return requireSubject({ ...resized, pixels: binary(resized.pixels, () => true) }, name)
}

/** The share of subject pixels in a mask of 0 and 255, from 0 to 1. */
export function subjectShare(mask: GreyImage): number {
  return count(mask.pixels) / mask.pixels.length
}

function requireSubject(mask: GreyImage, name: string): GreyImage {
  const share = subjectShare(mask)
  if (share > 0 && share < 1) return mask
  const what = share === 0 ? 'no pixel is subject' : 'every pixel is subject'
  throw new ImageError(
    `${name}: ${what} (${share * 100} % are white), the subject's share must be more than 0 % and less than 100 %`,
  )
}

function requireSameRatio(mask: Size, photo: Size): void {
  const ratio = (size: Size) => size.widthPx / size.heightPx
  if (Math.abs(ratio(mask) / ratio(photo) - 1) <= ratioTolerance) return
  const show = (size: Size) => `${size.widthPx} × ${size.heightPx} px (${ratio(size).toFixed(2)} : 1)`
  throw new ImageError(
    `mask: ${show(mask)} for a photo of ${show(photo)}, the ratio of width to height may differ by ${ratioTolerance * 100} %`,
  )
}

function binary(levels: Uint8Array, allowed: (index: number) => boolean): Uint8Array {
  return levels.map((level, i) => (level >= subjectFromLevel && allowed(i) ? 255 : 0))
}

function count(pixels: Uint8Array): number {
  return pixels.reduce((sum, pixel) => (pixel === 255 ? sum + 1 : sum), 0)
}
