import { type RgbTriple, toNormalizedPlanes } from '../lib/images/geometry.ts'
import type { RgbImage } from '../lib/images/image.ts'
import { resizeBicubic } from '../lib/images/resize.ts'
import { type FloatTensor, floatTensor } from '../lib/runtime/tensor.ts'

/** How a metric network takes its pictures. */
export interface MetricPixels {
  /** Side of the square picture in pixels. */
  readonly imageSizePx: number
  /** The shorter side before the square is cut out of the middle. */
  readonly resizePx: number
  readonly mean: RgbTriple
  readonly std: RgbTriple
}

/** Of ImageNet's pixels in 0 … 1, which DINO was trained on. */
export const imageNetMean: RgbTriple = [0.485, 0.456, 0.406]
export const imageNetStd: RgbTriple = [0.229, 0.224, 0.225]

/** The shorter side resized bicubically, a square cut out of the middle, normalised: [1, 3, S, S]. */
export async function metricPixels(picture: RgbImage, pixels: MetricPixels): Promise<FloatTensor> {
  const { imageSizePx: side, resizePx } = pixels
  const scale = resizePx / Math.min(picture.widthPx, picture.heightPx)
  // torchvision's Resize rounds the longer side down.
  const [widthPx, heightPx] = [picture.widthPx, picture.heightPx].map((px) => Math.floor(px * scale + 1e-9))
  const square = cutMiddle(await resizeBicubic(picture, widthPx!, heightPx!), side)
  return floatTensor([1, 3, side, side], toNormalizedPlanes(square, pixels.mean, pixels.std))
}

/** The square of `side` in the middle; throws a RangeError where the picture is smaller. */
function cutMiddle({ widthPx, heightPx, pixels }: RgbImage, side: number): RgbImage {
  if (Math.min(widthPx, heightPx) < side)
    throw new RangeError(`resizePx: a picture of ${widthPx} × ${heightPx} px has no square of ${side} px`)
  const left = Math.floor((widthPx - side) / 2)
  const top = Math.floor((heightPx - side) / 2)
  const cut = new Uint8Array(side * side * 3)
  for (let y = 0; y < side; y++) {
    const start = ((top + y) * widthPx + left) * 3
    cut.set(pixels.subarray(start, start + side * 3), y * side * 3)
  }
  return { widthPx: side, heightPx: side, pixels: cut, alpha: null }
}
