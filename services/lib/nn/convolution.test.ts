import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { relativeError, runGraph } from '../../../test/parity/golden.ts'
import { build, type Graph } from '../graph/build.ts'
import { countOperations } from '../graph/operations.ts'
import { conv } from '../graph/ops/convolution.ts'
import { upsampleNearest } from '../graph/ops/layout.ts'
import { input, type Value } from '../graph/value.ts'
import { floatTensor } from '../runtime/tensor.ts'
import type { Checkpoint, TensorEntry } from '../weights/tensor-entry.ts'
import { Weights } from '../weights/weights.ts'
import { type Conv2dConfig, conv2d, upsampleConv2d } from './convolution.ts'

const folder = mkdtempSync(join(tmpdir(), 'moma-convolution-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** float32 sums of 2304 terms in another order, and the filters' own constants: up to 24. */
const tolerance = 1e-5

let state = 1
const random = () => {
  state = (state * 1103515245 + 12345) % 2 ** 31
  return state / 2 ** 31 - 0.5
}

/** A checkpoint of one convolution, its weight and bias random. */
function checkpoint(out: number, channels: number, kernel = 3): Checkpoint {
  const file = join(folder, `${out}-${channels}-${kernel}.bin`)
  const shapes = { weight: [out, channels, kernel, kernel], bias: [out] }
  const tensors = new Map<string, TensorEntry>()
  let offset = 0
  for (const [name, shape] of Object.entries(shapes)) {
    const length = shape.reduce((product, size) => product * size, 4)
    tensors.set(name, { name, dtype: 'float32', shape, file, offset, length })
    offset += length
  }
  writeFileSync(file, new Uint8Array(Float32Array.from({ length: offset / 4 }, random).buffer))
  return { source: file, tensors }
}

interface Case {
  readonly channels: number
  readonly out: number
  /** Shape of the input's two last axes as the graph knows them, and as it is run. */
  readonly open: readonly (string | number)[]
  readonly size: readonly [number, number]
  readonly batch: number
}

const inputOf = ({ channels, open }: Case) => input('x', 'float32', ['batch', channels, ...open])
const feedOf = ({ channels, size, batch }: Case) => {
  const shape = [batch, channels, ...size]
  return { x: floatTensor(shape, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, random)) }
}

/** Relative difference between two forms of a layer on the same weights and input, and how many operations each does. */
async function compare(c: Case, form: (w: Weights, x: Value) => Value, plain: (w: Weights, x: Value) => Value) {
  const stored = checkpoint(c.out, c.channels)
  const feed = feedOf(c)
  const graphs = [form, plain].map((make): Graph => {
    const x = inputOf(c)
    const w = new Weights(stored)
    const graph = build('layer', [x], { y: make(w, x) })
    w.finish()
    return graph
  })
  const [got, expected] = await Promise.all(graphs.map((graph) => runGraph(graph, feed)))
  const sizes = { batch: c.batch, height: 1, width: 1 }
  const names = c.open.every((size) => typeof size === 'number')
  const [done, needed] = names ? graphs.map((graph) => countOperations(graph, sizes)) : [1, 1]
  return { error: relativeError(got!.y, expected!.y!), share: done! / needed! }
}

const plainConv = (w: Weights, x: Value, out: number) =>
  conv(x, w.tensor('weight', [out, Number(x.shape[1]), 3, 3]), w.tensor('bias', [out]), { pad: 1 })

describe('a wide 3×3 convolution', () => {
  const run = (c: Case) =>
    compare(
      c,
      (w, x) => conv2d(w, x, { out: c.out, kernel: 3, pad: 1 }),
      (w, x) => plainConv(w, x, c.out),
    )

  test.each([
    { rows: 4, channels: 256, out: 256, size: [8, 5], batch: 1, most: 0.55 },
    { rows: 4, channels: 256, out: 272, size: [4, 1], batch: 2, most: 0.55 },
    { rows: 2, channels: 272, out: 256, size: [6, 7], batch: 2, most: 0.7 },
    { rows: 2, channels: 256, out: 256, size: [2, 3], batch: 1, most: 0.7 },
  ] as const)('is done by filters of $rows rows: $channels → $out at $size', async ({ most, ...c }) => {
    const { error, share } = await run({ ...c, open: c.size })
    expect(error).toBeLessThan(tolerance)
    expect(share).toBeLessThan(most)
  })

  test.each([
    { open: ['4*height', '4*width'], size: [12, 4] },
    { open: ['2*height', 'width'], size: [10, 3] },
    { open: ['height', 'width'], size: [5, 3] },
    { open: ['height', 'width'], size: [8, 8] },
  ] as const)('with open sizes $open, run at $size', async (c) => {
    for (const batch of [1, 2]) {
      expect((await run({ ...c, channels: 256, out: 256, batch })).error).toBeLessThan(tolerance)
    }
  })

  test('with an odd height stays as it is', async () => {
    const size = [7, 8] as const
    expect((await run({ channels: 256, out: 256, open: size, size, batch: 1 })).share).toBe(1)
  })
})

describe('what would not gain stays one convolution', () => {
  const nodesOf = (channels: number, config: Conv2dConfig, compute: 'float32' | 'float16' = 'float32') => {
    const x = input('x', compute, [1, channels, 8, 8])
    const w = new Weights(checkpoint(config.out, channels, config.kernel), compute)
    return build('layer', [x], { y: conv2d(w, x, config) }).nodes.filter(({ op }) => op === 'Conv').length
  }

  test.each<[string, number, Conv2dConfig]>([
    ['stride 2', 256, { out: 256, kernel: 3, stride: 2, pad: 1 }],
    ['a border on two sides', 256, { out: 256, kernel: 3, pad: [0, 0, 1, 1] }],
    ['no border', 256, { out: 256, kernel: 3 }],
    ['one pixel', 256, { out: 256, kernel: 1, pad: 1 }],
    ['few inputs', 4, { out: 320, kernel: 3, pad: 1 }],
    ['few outputs', 320, { out: 4, kernel: 3, pad: 1 }],
    ['channels that fill no vector', 264, { out: 264, kernel: 3, pad: 1 }],
  ])('%s', (_, channels, config) => expect(nodesOf(channels, config)).toBe(1))

  test('half precision', () => {
    const config = { out: 256, kernel: 3, pad: 1 } as const
    expect(nodesOf(256, config, 'float16')).toBe(1)
    expect(nodesOf(256, config)).toBeGreaterThan(1)
  })

  test('a bias may be missing', async () => {
    const x = input('x', 'float32', [1, 256, 8, 8])
    const stored = checkpoint(256, 256)
    const y = conv2d(new Weights(stored), x, { out: 256, kernel: 3, pad: 1, bias: false })
    const plain = conv(x, new Weights(stored).tensor('weight', [256, 256, 3, 3]), null, { pad: 1 })
    const results = await runGraph(build('layer', [x], { y, plain }), {
      x: floatTensor([1, 256, 8, 8], Float32Array.from({ length: 256 * 64 }, random)),
    })
    expect(relativeError(results.y, results.plain!)).toBeLessThan(tolerance)
  })
})

describe('growth by two and a convolution', () => {
  const run = (c: Case) =>
    compare(
      c,
      (w, x) => upsampleConv2d(w, x, c.out),
      (w, x) => plainConv(w, upsampleNearest(x, 2), c.out),
    )

  test.each([
    { channels: 16, out: 32, size: [3, 5], batch: 1 },
    { channels: 48, out: 16, size: [4, 4], batch: 2 },
    { channels: 32, out: 32, size: [1, 1], batch: 2 },
  ] as const)('in four ninths of the operations: $channels → $out at $size', async (c) => {
    const { error, share } = await run({ ...c, open: c.size })
    expect(error).toBeLessThan(tolerance)
    expect(share).toBeCloseTo(4 / 9, 6)
  })

  test('with open sizes, which may be odd', async () => {
    const c = { channels: 16, out: 16, open: ['height', 'width'], batch: 2 }
    for (const size of [
      [3, 4],
      [2, 7],
    ] as const)
      expect((await run({ ...c, size })).error).toBeLessThan(tolerance)
  })

  test('as it is, with channels that fill no vector', async () => {
    const size = [3, 5] as const
    const { error, share } = await run({ channels: 12, out: 12, open: size, size, batch: 1 })
    expect([error, share]).toEqual([0, 1])
  })
})
