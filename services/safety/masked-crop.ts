import { whiteBackground } from '../lib/images/geometry.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import type { Region } from './safety.ts'
import { subjectFromLevel } from './subject-area.ts'

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
  return cropped(whiteBackground(picture, mask), region)
}

/** What a region holds, at least a pixel. */
export function cropped({ widthPx, heightPx, pixels }: RgbImage, region: Region): RgbImage {
  const [left, width] = pixelsOf(region.left, region.width, widthPx)
  const [top, height] = pixelsOf(region.top, region.height, heightPx)
  const crop = new Uint8Array(width * height * 3)
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * widthPx + left) * 3
    crop.set(pixels.subarray(start, start + width * 3), y * width * 3)
  }
  return { widthPx: width, heightPx: height, pixels: crop, alpha: null }
}

/** The same of a mask. */
export function croppedMask({ widthPx, heightPx, pixels }: GreyImage, region: Region): GreyImage {
  const [left, width] = pixelsOf(region.left, region.width, widthPx)
  const [top, height] = pixelsOf(region.top, region.height, heightPx)
  const crop = new Uint8Array(width * height)
  for (let y = 0; y < height; y++) {
    const start = (top + y) * widthPx + left
    crop.set(pixels.subarray(start, start + width), y * width)
  }
  return { widthPx: width, heightPx: height, pixels: crop }
}

function pixelsOf(start: number, length: number, allPx: number): [start: number, length: number] {
  const lengthPx = Math.min(allPx, Math.max(1, Math.round(length * allPx)))
  return [Math.min(Math.round(start * allPx), allPx - lengthPx), lengthPx]
}

/**
 * The square around the mask's subject, in shares: `margin` of its longer side is left on each side of it, and its side is
 * at least `least` of the picture's shorter one. Moved into the picture, and cut where it is longer than that. Null where
 * no pixel is subject, or where nothing is cut away.
 */
export function squareAround(mask: GreyImage, { margin, least }: { margin: number; least: number }): Region | null {
  const region = subjectRegion(mask)
  if (!region) return null
  const { widthPx, heightPx } = mask
  const longer = Math.max(region.width * widthPx, region.height * heightPx)
  const sidePx = Math.max(longer * (1 + 2 * margin), least * Math.min(widthPx, heightPx))
  const width = Math.min(1, Math.round(sidePx) / widthPx)
  const height = Math.min(1, Math.round(sidePx) / heightPx)
  if (width === 1 && height === 1) return null
  const within = (start: number, length: number, side: number) =>
    Math.min(1 - side, Math.max(0, start + (length - side) / 2))
  return {
    left: within(region.left, region.width, width),
    top: within(region.top, region.height, height),
    width,
    height,
  }
}
