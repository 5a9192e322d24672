/** Width and height in pixels, as a person sees the picture (orientation applied). */
export interface Size {
  readonly widthPx: number
  readonly heightPx: number
}

/** A picture in sRGB, 8 bits a channel: `pixels` [H,W,3] interleaved, `alpha` [H,W] where the source had real transparency. */
export interface RgbImage extends Size {
  readonly pixels: Uint8Array
  readonly alpha: Uint8Array | null
}

/** One plane [H,W] of 0 to 255: a mask (255 = subject), an alpha channel. */
export interface GreyImage extends Size {
  readonly pixels: Uint8Array
}

/** A picture handed in by somebody can't be used; the message is one sentence for that person. */
export class ImageError extends Error {
  override readonly name = 'ImageError'
}

/** Throws a RangeError unless `pixels` holds exactly `channels` bytes for every pixel of `size`. */
export function requirePixels(size: Size, pixels: { readonly length: number }, channels: number): void {
  const expected = size.widthPx * size.heightPx * channels
  if (pixels.length !== expected) {
    throw new RangeError(
      `pixels: ${size.widthPx} × ${size.heightPx} px in ${channels} channels are ${expected} values, got ${pixels.length}`,
    )
  }
}

/** Throws a RangeError unless both images have the same sides. */
export function requireSameSize(what: string, a: Size, b: Size): void {
  if (a.widthPx !== b.widthPx || a.heightPx !== b.heightPx) {
    throw new RangeError(
      `${what}: ${b.widthPx} × ${b.heightPx} px, must be ${a.widthPx} × ${a.heightPx} px as the image`,
    )
  }
}
