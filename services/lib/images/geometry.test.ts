import {
  fromDecoderPlanes,
  padToSquare,
  toEncoderPlanes,
  toMaskPlane,
  toNormalizedPlanes,
  whiteBackground,
} from './geometry.ts'
import type { RgbImage } from './image.ts'

const image: RgbImage = {
  widthPx: 3,
  heightPx: 2,
  pixels: Uint8Array.of(0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 255, 254, 253),
  alpha: null,
}

test('the subject is laid on white, a soft mask in its share', () => {
  const mask = { widthPx: 3, heightPx: 2, pixels: Uint8Array.of(255, 0, 51, 0, 255, 0) }
  expect([...whiteBackground(image, mask).pixels]).toEqual([
    ...[0, 10, 20, 255, 255, 255, 216, 218, 220],
    ...[255, 255, 255, 120, 130, 140, 255, 255, 255],
  ])
  expect(() => whiteBackground(image, { ...mask, widthPx: 2, heightPx: 3 })).toThrow(
    'mask: 2 × 3 px, must be 3 × 2 px as the image',
  )
})

test('padding centres, the odd row or column behind', () => {
  const rows = (padded: RgbImage) =>
    Array.from({ length: padded.heightPx }, (_, y) =>
      Array.from({ length: padded.widthPx }, (_, x) => padded.pixels[(y * padded.widthPx + x) * 3]),
    )
  expect(rows(padToSquare(image))).toEqual([
    [0, 30, 60],
    [90, 120, 255],
    [122, 122, 122],
  ])
  expect(rows(padToSquare({ ...image, widthPx: 1, heightPx: 6 }, [7, 8, 9]))[0]).toEqual([7, 7, 0, 7, 7, 7])
  expect([...padToSquare(image).pixels.subarray(-3)]).toEqual([122, 116, 104])
  expect(padToSquare({ ...image, widthPx: 2, heightPx: 3 }).pixels.length).toBe(27)
})

test('CLIP planes are [3,H,W], bit by bit those of transformers', () => {
  const planes = toNormalizedPlanes(image)
  expect(planes.length).toBe(18)
  // Recorded from transformers' CLIPImageProcessor.
  expect([planes[0], planes[1], planes[5]]).toEqual([-1.7922625541687012, -1.3543097972869873, 1.9303361177444458])
  expect([planes[6], planes[11]]).toEqual([-1.6020194292068481, 2.059875965118408])
  expect([planes[12], planes[17]]).toEqual([-1.195818543434143, 2.1174569129943848])
  expect(toNormalizedPlanes(image, [0.5, 0.5, 0.5], [0.5, 0.5, 0.5])[5]).toBe(1)
})

test('encoder planes span −1 to 1 and come back as they went', () => {
  const planes = toEncoderPlanes(image)
  expect([planes[0], planes[5]]).toEqual([-1, 1])
  expect(planes[6]).toBe(Math.fround(10 / 127.5 - 1))
  expect(fromDecoderPlanes(planes, image)).toEqual(image)
})

test('decoder planes are clamped and halves go to the even level', () => {
  // Recorded from diffusers' VaeImageProcessor; the third and fourth are 64.5 and 127.5 before rounding.
  const planes = Float32Array.of(-1.7, 3, -0.4941175878047943, 0, 0.2, 0.999)
  expect([...fromDecoderPlanes(planes, { widthPx: 2, heightPx: 1 }).pixels]).toEqual([0, 64, 153, 255, 128, 255])
})

test('a value that is no number is an error, not a black pixel', () => {
  const planes = new Float32Array(12)
  planes[5] = Number.NaN
  expect(() => fromDecoderPlanes(planes, { widthPx: 2, heightPx: 2 })).toThrow(
    'decoded image: channel 1, pixel 1 is NaN, must be a finite number',
  )
  expect(() => fromDecoderPlanes(planes, { widthPx: 2, heightPx: 3 })).toThrow('are 18 values, got 12')
})

test('a mask plane holds 0 and 1', () => {
  expect(toMaskPlane({ widthPx: 2, heightPx: 1, pixels: Uint8Array.of(0, 255) })).toEqual(Float32Array.of(0, 1))
})
