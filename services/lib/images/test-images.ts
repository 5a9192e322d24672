import sharp, { type Sharp } from 'sharp'
import type { GreyImage, RgbImage, Size } from './image.ts'

/** A picture with a smooth and a noisy part, the same at every run, for tests. */
export function testImage(widthPx: number, heightPx: number): RgbImage {
  let state = 1
  const pixels = Uint8Array.from({ length: widthPx * heightPx * 3 }, (_, i) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    const x = Math.trunc(i / 3) % widthPx
    return Math.min(255, Math.round((x / widthPx) * 160) + ((state >> 16) & 63))
  })
  return { widthPx, heightPx, pixels, alpha: null }
}

export function asSharp(image: RgbImage): Sharp {
  return sharp(image.pixels, { raw: { width: image.widthPx, height: image.heightPx, channels: 3 } })
}

/** One colour, 32 × 24 px. */
export function solid(r: number, g: number, b: number): Sharp {
  return sharp({ create: { width: 32, height: 24, channels: 3, background: { r, g, b } } })
}

/** 255 where `inside` says so, 0 elsewhere. */
export function testPlane({ widthPx, heightPx }: Size, inside: (x: number, y: number) => boolean): GreyImage {
  const pixels = Uint8Array.from({ length: widthPx * heightPx }, (_, i) =>
    inside(i % widthPx, Math.trunc(i / widthPx)) ? 255 : 0,
  )
  return { widthPx, heightPx, pixels }
}

/** The file of a picture whose channels are given per pixel. */
export function fromPixels(
  size: Size,
  channels: 1 | 2 | 3 | 4,
  pixelAt: (x: number, y: number) => readonly number[],
): Sharp {
  const pixels = new Uint8Array(size.widthPx * size.heightPx * channels)
  for (let i = 0; i < size.widthPx * size.heightPx; i++) {
    pixels.set(pixelAt(i % size.widthPx, Math.trunc(i / size.widthPx)), i * channels)
  }
  return sharp(pixels, { raw: { width: size.widthPx, height: size.heightPx, channels } })
}
