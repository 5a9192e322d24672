import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { build } from '../graph/build.ts'
import type { DType } from '../graph/dtype.ts'
import { matmulInt4 } from '../graph/ops/matrix.ts'
import { external, input } from '../graph/value.ts'
import { openCheckpoint, readTensor } from './checkpoint.ts'
import { decodeFloats, float32ToFloat16 } from './half.ts'
import { dequantizeInt4, type Int4Matrix, quantizeInt4, writeInt4Checkpoint } from './int4.ts'
import { type Checkpoint, CheckpointError } from './tensor-entry.ts'
import { writeSafetensors } from './write-safetensors.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'int4-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** Numbers from −1 to 1, the same in every run. */
function noise(count: number): Float32Array<ArrayBuffer> {
  let state = 1
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 31 - 1
  })
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>) =>
  new Uint8Array(buffer, byteOffset, byteLength)

async function checkpointOf(tensors: Record<string, [DType, number[], Uint8Array]>): Promise<Checkpoint> {
  const path = join(folder, 'source.safetensors')
  await writeSafetensors(
    path,
    Object.entries(tensors).map(([name, [dtype, shape, bytes]]) => ({ name, dtype, shape, chunks: [bytes] })),
  )
  return openCheckpoint(path)
}

test('sixteen values from −8 to 7 keep their values, the lower nibble first', () => {
  const values = Float32Array.from({ length: 32 }, (_, index) => ((index % 16) - 8) / 4)
  const matrix = quantizeInt4(values, 1, 32)
  expect([...matrix.scales]).toEqual([0.25])
  expect([...matrix.codes.subarray(0, 8)]).toEqual([0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe])
  expect(dequantizeInt4(matrix)).toEqual(values)
})

test('the value of largest magnitude is kept, whatever its sign; zeros stay zeros', () => {
  const values = new Float32Array(64)
  values.set([3, -1, 0.1], 5)
  const matrix = quantizeInt4(values, 2, 32)
  expect([...matrix.scales]).toEqual([-0.375, -0])
  const back = dequantizeInt4(matrix)
  expect([...back.subarray(5, 8)]).toEqual([3, -1.125, -0])
  expect([...back.subarray(32)].every((value) => value === 0)).toBe(true)
})

test('errors stay within half a step, but for what would be +8', () => {
  const values = noise(64 * 96)
  const matrix = quantizeInt4(values, 64, 96)
  const back = dequantizeInt4(matrix)
  for (const [index, value] of values.entries()) {
    const step = Math.abs(matrix.scales[index >> 5]!)
    const allowed = value / matrix.scales[index >> 5]! > 7.5 ? step : step / 2
    expect(Math.abs(back[index]! - value)).toBeLessThanOrEqual(allowed * (1 + 1e-6))
  }
})

test('a last block that is not full is filled with zeros', () => {
  const matrix = quantizeInt4(noise(2 * 40), 2, 40)
  expect(matrix.codes.length).toBe(2 * 2 * 16)
  expect([...matrix.codes.subarray(20, 32)]).toEqual(Array(12).fill(0x88))
  expect(dequantizeInt4(matrix).length).toBe(80)
})

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])('%d is refused', (value) => {
  const values = new Float32Array(64).fill(1)
  values[40] = value
  expect(() => quantizeInt4(values, 2, 32)).toThrow(new RangeError('a value of the 32 from 32 is not finite'))
})

test('MatMulNBits multiplies with the dequantised values', async () => {
  const [rows, columns, count] = [48, 96, 5]
  const weight = noise(rows * columns)
  const x = noise(count * columns).reverse()
  const matrix = quantizeInt4(weight, rows, columns)
  const path = join(folder, 'model.safetensors')
  await writeInt4Checkpoint(
    await checkpointOf({ 'w.weight': ['float32', [rows, columns], bytesOf(weight)] }),
    () => true,
    path,
  )
  const { tensors } = openCheckpoint(path)
  const [codes, scales] = ['w.weight.int4', 'w.weight.scales'].map((name) => {
    const entry = tensors.get(name)!
    return external(name, entry.dtype, entry.shape, entry)
  })
  const input0 = input('x', 'float32', [count, columns])
  const graph = build('test', [input0], { y: matmulInt4(input0, codes!, scales!) })
  const y = await run(graph.encode(folder), new Tensor('float32', x, [count, columns]))
  const expected = product(x, dequantizeInt4(matrix), count, rows, columns)
  const largest = Math.max(...expected.map(Math.abs))
  // Accuracy level 4 rounds x to 8 bits a block: half a step of 1/127 of the block's largest, over 96 products.
  for (const [index, value] of expected.entries()) expect(Math.abs(y[index]! - value)).toBeLessThan(1e-2 * largest)
})

async function run(model: Uint8Array, x: Tensor): Promise<Float32Array> {
  const session = await InferenceSession.create(model, {
    extra: { session: { model_external_initializers_file_folder_path: folder } },
  })
  try {
    const { y } = await session.run({ x })
    return y!.data as Float32Array
  } finally {
    await session.release()
  }
}

function product(x: Float32Array, weight: Float32Array, count: number, rows: number, columns: number): number[] {
  return Array.from({ length: count * rows }, (_, index) => {
    const [i, n] = [Math.floor(index / rows), index % rows]
    let sum = 0
    for (let k = 0; k < columns; k++) sum += x[i * columns + k]! * weight[n * columns + k]!
    return sum
  })
}

test('a checkpoint is quantised in all three float dtypes, whatever is not named is copied', async () => {
  // 20,000 rows of 512 float16 values are 20 MB: more than one chunk.
  const values = noise(20_000 * 512)
  const halves = float32ToFloat16(values)
  const upper = Uint16Array.from({ length: 64 }, (_, index) => 0x3f80 + index)
  const norm = bytesOf(noise(7))
  const source = await checkpointOf({
    'a.weight': ['float16', [20_000, 512], bytesOf(halves)],
    'b.weight': ['bfloat16', [2, 32], bytesOf(upper)],
    'c.weight': ['float32', [7], norm],
  })
  const target = join(folder, 'int4.safetensors')
  const progress: number[] = []
  await writeInt4Checkpoint(
    source,
    (name) => /^[ab]\.weight$/.test(name),
    target,
    (done, total) => progress.push(done / total),
  )
  const { tensors } = openCheckpoint(target)
  expect([...tensors.keys()].sort()).toEqual([
    'a.weight.int4',
    'a.weight.scales',
    'b.weight.int4',
    'b.weight.scales',
    'c.weight',
  ])
  expect(tensors.get('a.weight.int4')).toMatchObject({ dtype: 'uint8', shape: [20_000, 16, 16] })
  expect(tensors.get('a.weight.scales')).toMatchObject({ dtype: 'float32', shape: [20_000, 16] })
  expect(readTensor(tensors.get('c.weight')!)).toEqual(norm)
  const check = (name: string, whole: Int4Matrix) => {
    expect(Buffer.compare(readTensor(tensors.get(`${name}.int4`)!), whole.codes)).toBe(0)
    expect(Buffer.compare(readTensor(tensors.get(`${name}.scales`)!), bytesOf(whole.scales))).toBe(0)
  }
  check('a.weight', quantizeInt4(decodeFloats('float16', bytesOf(halves)), 20_000, 512))
  check('b.weight', quantizeInt4(decodeFloats('bfloat16', bytesOf(upper)), 2, 32))
  expect(progress).toEqual(progress.toSorted((a, b) => a - b))
  expect(progress.at(-1)).toBe(1)
})

test.each<[string, DType, number[], number, string]>([
  ['a vector', 'float32', [32], 0, "tensor 'w' is float32 [32]; float32, float16 or bfloat16 [N, K] can be quantised"],
  [
    'integers',
    'int32',
    [1, 32],
    0,
    "tensor 'w' is int32 [1, 32]; float32, float16 or bfloat16 [N, K] can be quantised",
  ],
  ['an infinite value', 'float32', [1, 32], 0x7f800000, "tensor 'w': a value of the 32 from 0 is not finite"],
])('%s can not be quantised, and no file is left', async (_, dtype, shape, word, problem) => {
  const source = await checkpointOf({ w: [dtype, shape, new Uint8Array(new Uint32Array(32).fill(word).buffer)] })
  const written = writeInt4Checkpoint(source, () => true, join(folder, 'int4.safetensors'))
  await expect(written).rejects.toThrow(new CheckpointError(source.source, problem))
  expect(await readdir(folder)).toEqual(['source.safetensors'])
})
