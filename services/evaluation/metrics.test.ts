import { relativeError } from '../../test/parity/golden.ts'
import { createToyBundle } from '../../test/toy-bundle.ts'
import { type Bundle, openBundle } from '../lib/bundles/bundles.ts'
import { toNormalizedPlanes } from '../lib/images/geometry.ts'
import type { RgbImage } from '../lib/images/image.ts'
import { resizeBicubic } from '../lib/images/resize.ts'
import { createNetworkPool, type NetworkPool } from '../lib/runtime/pool.ts'
import { floatTensor } from '../lib/runtime/tensor.ts'
import { cosine } from './measures.ts'
import { imageNetMean, imageNetStd, metricPixels } from './metric-pixels.ts'
import { openMetrics } from './metrics.ts'

const toy = createToyBundle()
const bundle = await openBundle(toy.name, toy.places)
let pool: NetworkPool

beforeAll(() => {
  pool = createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 2 ** 28 })
})

afterAll(async () => {
  await pool.dispose()
  toy[Symbol.dispose]()
})

function picture(widthPx: number, heightPx: number, step: number): RgbImage {
  const pixels = Uint8Array.from({ length: widthPx * heightPx * 3 }, (_, index) => (index * step) % 251)
  return { widthPx, heightPx, pixels, alpha: null }
}

test('pictures and texts become vectors of length 1 in a space of their own each', async () => {
  const metrics = await openMetrics(bundle, pool)
  const [one, again, other] = await Promise.all(
    [picture(64, 48, 7), picture(64, 48, 7), picture(64, 48, 11)].map((one) => metrics.picture(one)),
  )
  const [text] = await metrics.texts(['a dog in a garden'])
  for (const [vector, channels] of [
    [one!.dino, 24],
    [one!.clip, 16],
    [text!, 16],
  ] as const) {
    expect(vector).toHaveLength(channels)
    expect(cosine(vector, vector)).toBeCloseTo(1, 5)
  }
  expect(cosine(one!.dino, again!.dino)).toBeCloseTo(1, 5)
  expect(cosine(one!.dino, other!.dino)).toBeLessThan(0.999)
})

test('many texts are read a few at a time, and each as if alone', async () => {
  const metrics = await openMetrics(bundle, pool)
  const texts = Array.from({ length: 70 }, (_, index) => `a dog in the garden ${'with flowers '.repeat(index)}`)
  const together = await metrics.texts(texts)
  expect(together).toHaveLength(70)
  for (const index of [0, 31, 32, 69]) {
    const [alone] = await metrics.texts([texts[index]!])
    expect(cosine(alone!, together[index]!)).toBeCloseTo(1, 5)
  }
  expect(cosine(together[0]!, together[3]!)).toBeLessThan(0.999)
})

test('the square in the middle is seen, the shorter side brought to its size', async () => {
  const photo = picture(90, 60, 13)
  const pixels = { imageSizePx: 32, resizePx: 40, mean: imageNetMean, std: imageNetStd }
  const resized = await resizeBicubic(photo, 60, 40)
  const middle = Uint8Array.from({ length: 32 * 32 * 3 }, (_, index) => {
    const [x, y] = [Math.floor(index / 3) % 32, Math.floor(index / 96)]
    return resized.pixels[((y + 4) * 60 + x + 14) * 3 + (index % 3)]!
  })
  const square = { widthPx: 32, heightPx: 32, pixels: middle, alpha: null }
  const expected = floatTensor([1, 3, 32, 32], toNormalizedPlanes(square, imageNetMean, imageNetStd))
  expect(relativeError(await metricPixels(photo, pixels), expected)).toBe(0)
  await expect(metricPixels(photo, { ...pixels, resizePx: 20 })).rejects.toThrow('has no square of 32 px')
})

describe('networks that do not fit', () => {
  const withMetrics = (change: (metrics: NonNullable<Bundle['manifest']['metrics']>) => object | undefined): Bundle => {
    const { metrics, ...manifest } = bundle.manifest
    const changed = change(metrics!)
    return { ...bundle, manifest: { ...manifest, ...(changed ? { metrics: { ...metrics!, ...changed } } : {}) } }
  }

  test.each<[string, Bundle, string]>([
    ['none', withMetrics(() => undefined), 'this bundle has no networks to measure pictures with (metrics)'],
    [
      'halves of two CLIPs',
      withMetrics(({ clipText }) => ({ clipText: { ...clipText, config: { ...clipText.config, projection_dim: 8 } } })),
      "projection_dim is 8, allowed is 16, clipVision's",
    ],
    [
      "another tokenizer's length",
      withMetrics(({ clipText }) => ({
        clipText: { ...clipText, config: { ...clipText.config, max_position_embeddings: 64 } },
      })),
      "max_position_embeddings is 64, allowed is 77, its tokenizer's length",
    ],
  ])('%s: one sentence', async (_, changed, message) => {
    await expect(openMetrics(changed, pool)).rejects.toThrow(message)
  })
})
