import { setImmediate } from 'node:timers/promises'
import { type GreyImage, type RgbImage, requirePixels } from './image.ts'

const maxSidePx = 16_384
const catmullRom = -0.5
const supportPx = 2
const weightBits = 22
const half = 1 << (weightBits - 1)
const longestTurnMs = 8

/**
 * Resizes [H,W,3] bicubically to `widthPx` × `heightPx`, the aspect ratio ignored, with Pillow's numbers.
 *
 * Equal in every byte to Pillow's `Image.resize(size, BICUBIC)`, which the reference's CLIP and diffusion preprocessing
 * use: a = −0.5, the kernel widened by the scale when shrinking, rows first, weights in 22-bit fixed point, 8 bits kept
 * between the passes (Pillow up to 12; 13 takes columns first where it shrinks the height alone). libvips differs by up
 * to 4 levels in the mean. Gives the event loop its turn about every 8 ms. Alpha is not carried over: masks go by nearest neighbour. Throws a RangeError for sides outside
 * 1 to 16384.
 */
export async function resizeBicubic(image: RgbImage, widthPx: number, heightPx: number): Promise<RgbImage> {
  return { widthPx, heightPx, pixels: await resizeChannels(image, 3, widthPx, heightPx), alpha: null }
}

/** As `resizeBicubic`, for a plane [H,W]. */
export async function resizePlaneBicubic(plane: GreyImage, widthPx: number, heightPx: number): Promise<GreyImage> {
  return { widthPx, heightPx, pixels: await resizeChannels(plane, 1, widthPx, heightPx) }
}

async function resizeChannels(
  image: GreyImage | RgbImage,
  channels: 1 | 3,
  widthPx: number,
  heightPx: number,
): Promise<Uint8Array> {
  requireSides(widthPx, heightPx)
  requirePixels(image, image.pixels, channels)
  let pixels = image.pixels
  if (widthPx !== image.widthPx) pixels = await resizeRows(pixels, channels, image.heightPx, image.widthPx, widthPx)
  if (heightPx !== image.heightPx) pixels = await resizeColumns(pixels, widthPx * channels, image.heightPx, heightPx)
  return pixels
}

/**
 * Resizes a plane by nearest neighbour with torch's indices, `F.interpolate(mode='nearest')`: floor(i · in / out).
 *
 * The quotient and the product are rounded to float32 as torch does, which moves an index where in / out is no binary
 * fraction. Throws a RangeError for sides outside 1 to 16384.
 */
export function resizeNearest(plane: GreyImage, widthPx: number, heightPx: number): GreyImage {
  requireSides(widthPx, heightPx)
  requirePixels(plane, plane.pixels, 1)
  const columns = nearestIndices(plane.widthPx, widthPx)
  const rows = nearestIndices(plane.heightPx, heightPx)
  const pixels = new Uint8Array(widthPx * heightPx)
  for (let y = 0; y < heightPx; y++) {
    const row = rows[y]! * plane.widthPx
    for (let x = 0; x < widthPx; x++) pixels[y * widthPx + x] = plane.pixels[row + columns[x]!]!
  }
  return { widthPx, heightPx, pixels }
}

/** For each of `out` positions the one of `from` that torch's nearest neighbour takes. */
export function nearestIndices(from: number, out: number): Int32Array {
  const scale = Math.fround(from / out)
  return Int32Array.from({ length: out }, (_, i) => Math.min(Math.floor(Math.fround(i * scale)), from - 1))
}

interface Tap {
  readonly start: number
  /** Fixed point, 22 bits after the point; they add up to one but for rounding. */
  readonly weights: Int32Array
}

/** The source positions and weights of every output position along one axis. */
function bicubicTaps(from: number, out: number): readonly Tap[] {
  const scale = from / out
  const widening = Math.max(scale, 1)
  const reach = supportPx * widening
  return Array.from({ length: out }, (_, i) => {
    const centre = (i + 0.5) * scale
    const start = Math.max(Math.trunc(centre - reach + 0.5), 0)
    const end = Math.min(Math.trunc(centre + reach + 0.5), from)
    const weights = Array.from({ length: end - start }, (_, k) => cubic((start + k - centre + 0.5) / widening))
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return { start, weights: Int32Array.from(weights, (weight) => toFixedPoint(weight / sum)) }
  })
}

/** Keys' cubic convolution kernel (1981). */
function cubic(x: number): number {
  const a = catmullRom
  const d = Math.abs(x)
  if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a
  return 0
}

/** Rounded half away from zero. */
function toFixedPoint(weight: number): number {
  const scaled = weight * 2 ** weightBits
  return Math.trunc(scaled < 0 ? scaled - 0.5 : scaled + 0.5)
}

function to8Bit(fixedPoint: number): number {
  const value = fixedPoint >> weightBits
  return value < 0 ? 0 : Math.min(value, 255)
}

async function resizeRows(
  pixels: Uint8Array,
  channels: 1 | 3,
  height: number,
  from: number,
  out: number,
): Promise<Uint8Array> {
  const taps = bicubicTaps(from, out)
  const resized = new Uint8Array(height * out * channels)
  const resizeRow = channels === 3 ? resizeRgbRow : resizeGreyRow
  const breathe = breather()
  for (let y = 0; y < height; y++) {
    resizeRow(pixels, y * from, taps, resized, y * out)
    await breathe()
  }
  return resized
}

/** One row of `pixels` from pixel `source` on into `resized` from pixel `target` on. */
type ResizeRow = (pixels: Uint8Array, source: number, taps: readonly Tap[], resized: Uint8Array, target: number) => void

const resizeRgbRow: ResizeRow = (pixels, source, taps, resized, target) => {
  let to = 3 * target
  for (const { start, weights } of taps) {
    let at = 3 * (source + start)
    let red = half
    let green = half
    let blue = half
    for (let k = 0; k < weights.length; k++) {
      const weight = weights[k]!
      red += Math.imul(weight, pixels[at]!)
      green += Math.imul(weight, pixels[at + 1]!)
      blue += Math.imul(weight, pixels[at + 2]!)
      at += 3
    }
    resized[to] = to8Bit(red)
    resized[to + 1] = to8Bit(green)
    resized[to + 2] = to8Bit(blue)
    to += 3
  }
}

const resizeGreyRow: ResizeRow = (pixels, source, taps, resized, target) => {
  for (const [x, { start, weights }] of taps.entries()) {
    let sum = half
    for (let k = 0; k < weights.length; k++) sum += Math.imul(weights[k]!, pixels[source + start + k]!)
    resized[target + x] = to8Bit(sum)
  }
}

async function resizeColumns(pixels: Uint8Array, rowLength: number, from: number, out: number): Promise<Uint8Array> {
  const resized = new Uint8Array(out * rowLength)
  const sums = new Int32Array(rowLength)
  const breathe = breather()
  for (const [y, { start, weights }] of bicubicTaps(from, out).entries()) {
    sums.fill(half)
    for (let k = 0; k < weights.length; k++) {
      const weight = weights[k]!
      const source = (start + k) * rowLength
      for (let i = 0; i < rowLength; i++) sums[i] = sums[i]! + Math.imul(weight, pixels[source + i]!)
    }
    for (let i = 0; i < rowLength; i++) resized[y * rowLength + i] = to8Bit(sums[i]!)
    await breathe()
  }
  return resized
}

/** A pause that costs nothing until the event loop has waited for some milliseconds. */
function breather(): () => Promise<void> | undefined {
  let turnStartMs = performance.now()
  return () => {
    if (performance.now() - turnStartMs < longestTurnMs) return undefined
    return setImmediate().then(() => {
      turnStartMs = performance.now()
    })
  }
}

function requireSides(widthPx: number, heightPx: number): void {
  for (const side of [widthPx, heightPx]) {
    if (!Number.isSafeInteger(side) || side < 1 || side > maxSidePx) {
      throw new RangeError(`size: ${widthPx} × ${heightPx} px, sides are whole numbers from 1 to ${maxSidePx}`)
    }
  }
}
