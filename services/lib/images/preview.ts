import sharp from 'sharp'
import { type GreyImage, type RgbImage, requirePixels, type Size } from './image.ts'

/** A linear map from latents to RGB in [−1, 1], a property of a VAE: three rows (red, green, blue) of a factor a channel. */
export interface LatentColours {
  readonly factors: readonly [readonly number[], readonly number[], readonly number[]]
  readonly bias: readonly [number, number, number]
}

/**
 * A cheap look at latents [1,C,h,w] (scaled, as the denoiser has them): one pixel a latent position, no network.
 *
 * Throws a RangeError if the rows of factors have different lengths or `latents` is not C · h · w long.
 */
export function latentsToRgb(latents: Float32Array, size: Size, { factors, bias }: LatentColours): RgbImage {
  const channels = factors[0].length
  if (factors.some((row) => row.length !== channels)) {
    throw new RangeError(
      `latent colours: rows of ${factors.map((row) => row.length).join(', ')} factors, must be equal`,
    )
  }
  requirePixels(size, latents, channels)
  const count = size.widthPx * size.heightPx
  const pixels = new Uint8ClampedArray(count * 3)
  for (const [colour, row] of factors.entries()) {
    for (let i = 0; i < count; i++) {
      let value = bias[colour]!
      for (let channel = 0; channel < channels; channel++) value += row[channel]! * latents[channel * count + i]!
      pixels[i * 3 + colour] = (value + 1) * 127.5
    }
  }
  return { widthPx: size.widthPx, heightPx: size.heightPx, pixels: new Uint8Array(pixels.buffer), alpha: null }
}

/** A small picture for a progress bar or a page: lossy WebP, or PNG for terminals. */
export async function encodePreview(image: RgbImage, format: 'webp' | 'png'): Promise<Uint8Array> {
  requirePixels(image, image.pixels, 3)
  const raw = sharp(image.pixels, { raw: { width: image.widthPx, height: image.heightPx, channels: 3 } })
  return new Uint8Array(await (format === 'webp' ? raw.webp({ quality: 80 }) : raw.png()).toBuffer())
}

/** A mask or another plane as a greyscale PNG, every level kept. */
export async function encodePlane(plane: GreyImage): Promise<Uint8Array> {
  requirePixels(plane, plane.pixels, 1)
  const raw = sharp(plane.pixels, { raw: { width: plane.widthPx, height: plane.heightPx, channels: 1 } })
  return new Uint8Array(await raw.toColourspace('b-w').png().toBuffer())
}
