import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runGraph } from '../../../test/parity/golden.ts'
import { build } from '../graph/build.ts'
import { input } from '../graph/value.ts'
import { floatTensor } from '../runtime/tensor.ts'
import { Weights } from '../weights/weights.ts'
import { groupNorm } from './normalization.ts'

const folder = mkdtempSync(join(tmpdir(), 'moma-normalization-'))
afterAll(() => rmSync(folder, { recursive: true }))

const [batch, channels, height, width, groups, epsilon] = [2, 6, 32, 48, 3, 1e-5]
const file = join(folder, 'norm.bin')
const scale = Float32Array.from({ length: channels }, (_, c) => 1 + c / 4)
const bias = Float32Array.from({ length: channels }, (_, c) => c - 2)
writeFileSync(file, Buffer.concat([scale, bias].map((numbers) => new Uint8Array(numbers.buffer))))
const entry = (name: string, offset: number) => ({
  name,
  dtype: 'float32' as const,
  shape: [channels],
  file,
  offset,
  length: 4 * channels,
})
const weights = () =>
  new Weights({
    source: file,
    tensors: new Map([
      ['weight', entry('weight', 0)],
      ['bias', entry('bias', 4 * channels)],
    ]),
  })

test('a group norm of numbers far from zero agrees with its definition in double precision', async () => {
  const size = (channels / groups) * height * width
  const data = Float32Array.from({ length: batch * channels * height * width }, (_, i) => 100 + Math.sin(i * i))
  const x = input('x', 'float32', ['batch', channels, '8*height', 'width'])
  const graph = build('norm', [x], { y: groupNorm(weights(), x, { groups, epsilon }) })
  const { y } = await runGraph(graph, { x: floatTensor([batch, channels, height, width], data) })
  let worst = 0
  for (let first = 0; first < data.length; first += size) {
    const group = Array.from(data.subarray(first, first + size))
    const mean = group.reduce((sum, number) => sum + number, 0) / size
    const variance = group.reduce((sum, number) => sum + (number - mean) ** 2, 0) / size
    for (const [index, number] of group.entries()) {
      const channel = Math.floor((first + index) / (height * width)) % channels
      const expected = ((number - mean) / Math.sqrt(variance + epsilon)) * scale[channel]! + bias[channel]!
      worst = Math.max(worst, Math.abs(y!.data[first + index]! - expected))
    }
  }
  // A float32 near 100 is known to 8e-6, and is scaled by up to 3.2.
  expect(worst).toBeLessThan(1e-4)
})

test('groups that do not divide the channels are refused', () => {
  const x = input('x', 'float32', [1, channels, 2, 2])
  expect(() => groupNorm(weights(), x, { groups: 4, epsilon })).toThrow('6 channels do not fall into 4 equal groups')
})
