import { whiteBackground } from '../lib/images/geometry.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import type { Region } from './safety.ts'

/** From this level on a pixel is subject. */
const subjectFromLevel = 128

/** Where the mask's subject is, in shares; null where no pixel is subject. */
export function subjectRegion(mask: GreyImage): Region | null {
  const { widthPx, heightPx, pixels } = mask
  let [left, top, right, bottom] = [widthPx, heightPx, -1, -1]
  for (let y = 0; y < heightPx; y++) {
    for (let x = 0; x < widthPx; x++) {
      if (pixels[y * widthPx + x]! < subjectFromLevel) continue
      left = Math.min(left, x)
      right = Math.max(right, x)
      top = Math.min(top, y)
      bottom = y
    }
  }
  if (right < 0) return null
  return {
    left: left / widthPx,
    top: top / heightPx,
    width: (right + 1 - left) / widthPx,
    height: (bottom + 1 - top) / heightPx,
  }
}

/** The subject alone, on white, cut to where it is; the whole picture where the mask has no subject. */
export function maskedCrop(picture: RgbImage, mask: GreyImage): RgbImage {
  const region = subjectRegion(mask)
  if (!region) return picture
  const onWhite = whiteBackground(picture, mask)
  const left = Math.round(region.left * picture.widthPx)
  const top = Math.round(region.top * picture.heightPx)
  const widthPx = Math.round(region.width * picture.widthPx)
  const heightPx = Math.round(region.height * picture.heightPx)
  const pixels = new Uint8Array(widthPx * heightPx * 3)
  for (let y = 0; y < heightPx; y++) {
    const start = ((top + y) * picture.widthPx + left) * 3
    pixels.set(onWhite.pixels.subarray(start, start + widthPx * 3), y * widthPx * 3)
  }
  return { widthPx, heightPx, pixels, alpha: null }
}

/** How a box and the subject lie to each other. */
export interface Overlap {
  /** Share of the subject that is inside the box, 0 … 1. */
  readonly coverage: number
  /** Share of the box that is subject, 0 … 1. */
  readonly filling: number
}

/** Of a box with the mask's subject; no subject and no box overlap by nothing. */
export function overlapOf(region: Region, { widthPx, heightPx, pixels }: GreyImage): Overlap {
  const left = Math.floor(region.left * widthPx)
  const top = Math.floor(region.top * heightPx)
  const right = Math.ceil((region.left + region.width) * widthPx)
  const bottom = Math.ceil((region.top + region.height) * heightPx)
  let inside = 0
  let all = 0
  for (let y = 0; y < heightPx; y++) {
    for (let x = 0; x < widthPx; x++) {
      if (pixels[y * widthPx + x]! < subjectFromLevel) continue
      all++
      if (x >= left && x < right && y >= top && y < bottom) inside++
    }
  }
  const boxArea = Math.max(1, (right - left) * (bottom - top))
  return { coverage: all === 0 ? 0 : inside / all, filling: inside / boxArea }
}
