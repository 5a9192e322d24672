import sharp from 'sharp'
import { decodeImage } from './decode.ts'
import { encodePlane, encodePreview, latentsToRgb } from './preview.ts'
import { testImage, testPlane } from './test-images.ts'

const colours = {
  factors: [
    [1, 0, 0, 0],
    [0, 0.5, 0, 0],
    [0, 0, 0, -1],
  ],
  bias: [0, 0.5, 0.25],
} as const

test('latents become colours by the matrix and the bias, clamped', () => {
  const latents = Float32Array.of(-1, 1, 0, 9, /**/ 1, 0, -3, 0, /**/ 7, 7, 7, 7, /**/ 0.25, -0.75, 1.25, -9)
  const image = latentsToRgb(latents, { widthPx: 2, heightPx: 2 }, colours)
  expect([image.widthPx, image.heightPx]).toEqual([2, 2])
  expect([...image.pixels]).toEqual([0, 255, 128, 255, 191, 255, 128, 0, 0, 255, 191, 255])
})

test('latents of another length, and rows that differ', () => {
  expect(() => latentsToRgb(new Float32Array(15), { widthPx: 2, heightPx: 2 }, colours)).toThrow(
    'are 16 values, got 15',
  )
  const ragged = { factors: [[1], [1, 2], [1]], bias: [0, 0, 0] } as const
  expect(() => latentsToRgb(new Float32Array(4), { widthPx: 2, heightPx: 2 }, ragged)).toThrow(
    'latent colours: rows of 1, 2, 1 factors, must be equal',
  )
})

test('previews are small pictures', async () => {
  const image = testImage(64, 48)
  expect(await decodeImage(await encodePreview(image, 'png'))).toEqual(image)
  const webp = await encodePreview(image, 'webp')
  expect(webp.length).toBeLessThan((await encodePreview(image, 'png')).length)
  expect((await decodeImage(webp)).widthPx).toBe(64)
})

test('a plane keeps its levels in one channel', async () => {
  const plane = testPlane({ widthPx: 20, heightPx: 16 }, (x, y) => x > y)
  plane.pixels[3] = 77
  const file = await encodePlane(plane)
  expect((await sharp(file).metadata()).channels).toBe(1)
  expect(new Uint8Array(await sharp(file).extractChannel(0).raw().toBuffer())).toEqual(plane.pixels)
})
