import { relativeError, runGraph } from '../../test/parity/golden.ts'
import { createToyBundle } from '../../test/toy-bundle.ts'
import { type Bundle, openBundle } from '../lib/bundles/bundles.ts'
import { weightFiles } from '../lib/bundles/weight-files.ts'
import { toEncoderPlanes } from '../lib/images/geometry.ts'
import { resizeBicubic } from '../lib/images/resize.ts'
import { createNetworkPool, type NetworkPool } from '../lib/runtime/pool.ts'
import { floatTensor } from '../lib/runtime/tensor.ts'
import { openWeights } from '../lib/weights/open-weights.ts'
import { openVision } from './open.ts'
import { readSegmentationConfig, segmentationGraph } from './segmentation.ts'

const toy = createToyBundle()
const bundle = await openBundle(toy.name, toy.places)
let pool: NetworkPool

beforeAll(() => {
  pool = createNetworkPool({ provider: 'cpu', threads: 2, memoryBytes: 2 ** 30 })
})

afterAll(async () => {
  await pool.dispose()
  toy[Symbol.dispose]()
})

/** A photo that is wider than the network's picture and lower. */
const photo = {
  widthPx: 96,
  heightPx: 24,
  pixels: Uint8Array.from({ length: 96 * 24 * 3 }, (_, index) => (index * 7 + (index % 96) * 31) % 256),
  alpha: null,
}

test("segment gives the network's probabilities at the photo's size", async () => {
  const { vision, networks } = await openVision(bundle, pool)
  expect(networks.map(({ name }) => name)).toContain('segmentation')
  const mask = await vision.segment(photo)
  expect([mask.widthPx, mask.heightPx, mask.pixels.length]).toEqual([96, 24, 96 * 24])

  const config = readSegmentationConfig(bundle.manifest.networks.segmentation!.config, 'segmentation')
  const graph = segmentationGraph(openWeights(await weightFiles(bundle, 'segmentation')), config)
  const planes = toEncoderPlanes(await resizeBicubic(photo, 32, 32))
  const { subject } = await runGraph(graph, { pictures: floatTensor([1, 3, 32, 32], planes) })
  const square = { ...photo, widthPx: 32, heightPx: 32, pixels: Uint8Array.from(threeTimes(subject!.data)) }
  const expected = await resizeBicubic(square, 96, 24)
  const reds = Float32Array.from({ length: 96 * 24 }, (_, index) => expected.pixels[3 * index]!)
  expect(relativeError(floatTensor([96 * 24], mask.pixels), floatTensor([96 * 24], reds))).toBe(0)
})

function* threeTimes(shares: Float32Array) {
  for (const share of shares) for (let channel = 0; channel < 3; channel++) yield Math.round(255 * share)
}

test('a bundle without a segmentation network says so', async () => {
  const { segmentation: _, ...networks } = bundle.manifest.networks
  const without: Bundle = { ...bundle, manifest: { ...bundle.manifest, networks } }
  const { vision } = await openVision(without, pool)
  await expect(vision.segment(photo)).rejects.toThrow('this bundle has no segmentation network (segmentation)')
})
