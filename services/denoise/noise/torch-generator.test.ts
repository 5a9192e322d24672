import { readFileSync } from 'node:fs'
import { createTorchGenerator } from './torch-generator.ts'

/** Written by training/goldens/samplers.py out of torch.randn: every `stride`th value of the draws, one after another. */
interface Draws {
  seed: string
  counts: number[]
  stride: number
  values: string
}

const file = new URL('../../../test/parity/data/samplers/noise.json', import.meta.url)
const recorded: Draws[] = JSON.parse(readFileSync(file, 'utf8'))

/** Values reach 5.8, where two float32 neighbours lie 4.8e-7 apart: torch's own logarithm and sine are off by one of those. */
const tolerance = 1e-6

function decode(base64: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer)
}

test.each(recorded)('seed $seed, draws of $counts are torch.randn’s', ({ seed, counts, stride, values }) => {
  const generator = createTorchGenerator(BigInt(seed))
  const got = counts.flatMap((count) => [...generator.randn(count)]).filter((_, i) => i % stride === 0)
  const expected = decode(values)
  expect(got).toHaveLength(expected.length)
  const error = got.reduce((largest, value, i) => Math.max(largest, Math.abs(value - expected[i]!)), 0)
  expect(error).toBeLessThanOrEqual(tolerance)
})

test('numbers and bigints are the same seed, and only its low 32 bits count', () => {
  const values = createTorchGenerator(5).randn(20)
  expect(createTorchGenerator(5n).randn(20)).toEqual(values)
  expect(createTorchGenerator(2 ** 32 + 5).randn(20)).toEqual(values)
  expect(createTorchGenerator(6).randn(20)).not.toEqual(values)
})

test('generators do not disturb each other', () => {
  const [a, b] = [createTorchGenerator(1), createTorchGenerator(1)]
  const first = a.randn(5)
  expect(b.randn(5)).toEqual(first)
  expect(a.randn(5)).toEqual(b.randn(5))
})

test('the noise of 512² latents takes at most 5 ms', () => {
  const durations = Array.from({ length: 20 }, (_, seed) => {
    const startMs = performance.now()
    createTorchGenerator(seed).randn(4 * 64 * 64)
    return performance.now() - startMs
  })
  // The fastest of several: the others measure whatever else the machine does.
  expect(Math.min(...durations)).toBeLessThanOrEqual(5)
})

test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, -1n, 2n ** 64n])('refuses the seed %p', (seed) => {
  expect(() => createTorchGenerator(seed)).toThrow(RangeError)
  expect(() => createTorchGenerator(seed)).toThrow(
    /^seed must be an integer from 0 to 18446744073709551615.*, got -?[\w.]+$/,
  )
})

test.each([0, -1, 1.5, 2 ** 24 + 1, Number.NaN])('refuses a draw of %p values', (count) => {
  expect(() => createTorchGenerator(0).randn(count)).toThrow(
    `count must be an integer from 1 to 16777216, got ${count}`,
  )
})
