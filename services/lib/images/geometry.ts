import { type GreyImage, type RgbImage, requirePixels, requireSameSize, type Size } from './image.ts'

/** One number for red, green and blue each. */
export type RgbTriple = readonly [number, number, number]

/** Mean and standard deviation of CLIP's training pixels in [0, 1] (openai/CLIP, `clip/clip.py`). */
export const clipMean: RgbTriple = [0.48145466, 0.4578275, 0.40821073]
export const clipStd: RgbTriple = [0.26862954, 0.26130258, 0.27577711]

/** The CLIP mean as LLaVA pads with it: in 8 bits, rounded down (122, 116, 104). */
export const clipMeanColour: RgbTriple = [122, 116, 104]

/** `I·M + 255·(1−M)` with M = mask / 255: the subject on white, [H,W,3]; throws a RangeError unless sizes match. */
export function whiteBackground(image: RgbImage, mask: GreyImage): RgbImage {
  requireSameSize('mask', image, mask)
  requirePixels(image, image.pixels, 3)
  requirePixels(mask, mask.pixels, 1)
  const pixels = new Uint8Array(image.pixels.length)
  for (let i = 0; i < pixels.length; i++) {
    const share = mask.pixels[Math.trunc(i / 3)]!
    pixels[i] = Math.round((image.pixels[i]! * share + 255 * (255 - share)) / 255)
  }
  return { widthPx: image.widthPx, heightPx: image.heightPx, pixels, alpha: null }
}

/** Centres the image on a square of its longer side, filled with `colour` (0 to 255); odd rests go right and below. */
export function padToSquare(image: RgbImage, colour: RgbTriple = clipMeanColour): RgbImage {
  requirePixels(image, image.pixels, 3)
  const side = Math.max(image.widthPx, image.heightPx)
  const left = Math.floor((side - image.widthPx) / 2)
  const top = Math.floor((side - image.heightPx) / 2)
  const pixels = new Uint8Array(side * side * 3)
  for (let i = 0; i < pixels.length; i += 3) pixels.set(colour, i)
  const rowLength = image.widthPx * 3
  for (let y = 0; y < image.heightPx; y++) {
    pixels.set(image.pixels.subarray(y * rowLength, (y + 1) * rowLength), ((top + y) * side + left) * 3)
  }
  return { widthPx: side, heightPx: side, pixels, alpha: null }
}

/** `(x/255 − mean) / std` as [1,3,H,W], each operation in float32 as transformers' CLIPImageProcessor does them. */
export function toNormalizedPlanes(
  image: RgbImage,
  mean: RgbTriple = clipMean,
  std: RgbTriple = clipStd,
): Float32Array {
  const f32 = Math.fround
  return toPlanes(image, (level, channel) => f32(f32(level / 255) - f32(mean[channel]!)) / f32(std[channel]!))
}

/** `x/127.5 − 1`, the range [−1, 1] of the VAE's encoder, as [1,3,H,W]. */
export function toEncoderPlanes(image: RgbImage): Float32Array {
  return toPlanes(image, (level) => level / 127.5 - 1)
}

/** [1,H·W] of 0 and 1 (or between, for a soft mask). */
export function toMaskPlane(mask: GreyImage): Float32Array {
  requirePixels(mask, mask.pixels, 1)
  return Float32Array.from(mask.pixels, (level) => level / 255)
}

/**
 * The VAE decoder's [1,3,H,W] in [−1, 1] to 8 bits: `round((x/2 + 0.5) · 255)`, clamped, halves to even as numpy rounds.
 *
 * Source: diffusers, VaeImageProcessor. Throws a RangeError if a value is no finite number: a network that overflowed
 * must not become a black picture.
 */
export function fromDecoderPlanes(planes: Float32Array, size: Size): RgbImage {
  requirePixels(size, planes, 3)
  const count = size.widthPx * size.heightPx
  // Clamps and rounds halves to even by itself.
  const pixels = new Uint8ClampedArray(count * 3)
  for (let channel = 0; channel < 3; channel++) {
    for (let i = 0; i < count; i++) {
      const value = planes[channel * count + i]!
      if (!Number.isFinite(value)) {
        throw new RangeError(`decoded image: channel ${channel}, pixel ${i} is ${value}, must be a finite number`)
      }
      pixels[i * 3 + channel] = Math.fround(Math.fround(Math.fround(value / 2) + 0.5) * 255)
    }
  }
  return { widthPx: size.widthPx, heightPx: size.heightPx, pixels: new Uint8Array(pixels.buffer), alpha: null }
}

function toPlanes(image: RgbImage, planeValue: (level: number, channel: number) => number): Float32Array {
  requirePixels(image, image.pixels, 3)
  const count = image.widthPx * image.heightPx
  const planes = new Float32Array(count * 3)
  for (let channel = 0; channel < 3; channel++) {
    const values = Float32Array.from({ length: 256 }, (_, level) => planeValue(level, channel))
    for (let i = 0; i < count; i++) planes[channel * count + i] = values[image.pixels[i * 3 + channel]!]!
  }
  return planes
}
