import { InferenceSession, Tensor } from 'onnxruntime-node'
import { build } from './build.ts'
import { conv } from './ops/convolution.ts'
import { add, cast, multiply, silu } from './ops/elementwise.ts'
import {
  concat,
  depthToSpace,
  everyNth,
  halve,
  range,
  reshape,
  slice,
  transpose,
  upsampleNearest,
} from './ops/layout.ts'
import { matmul } from './ops/matrix.ts'
import { constant, GraphError, input, type Value } from './value.ts'

async function run(inputs: Value[], outputs: Record<string, Value>, feeds: Record<string, Tensor>) {
  const session = await InferenceSession.create(build('test', inputs, outputs).encode('/'))
  try {
    return await session.run(feeds)
  } finally {
    await session.release()
  }
}

const numbers = (count: number) => Float32Array.from({ length: count }, (_, index) => index)

test('a graph runs, and its open axes take the sizes of the run', async () => {
  const x = input('x', 'float32', ['batch', 4])
  const doubled = multiply(x, constant('float32', [1], [2]))
  for (const batch of [1, 3]) {
    const { y } = await run([x], { y: add(doubled, x) }, { x: new Tensor('float32', numbers(4 * batch), [batch, 4]) })
    expect(y!.dims).toEqual([batch, 4])
    expect([...(y!.data as Float32Array)]).toEqual([...numbers(4 * batch)].map((number) => 3 * number))
  }
})

test('layout ops agree with their inferred shapes', async () => {
  const x = input('x', 'float32', ['batch', 2, '4*height', '4*width'])
  const pieces = {
    every: everyNth(everyNth(x, 2, 2), 3, 2),
    grown: upsampleNearest(slice(x, 1, 0, 1), 2),
    tokens: transpose(reshape(x, ['batch', 2, '16*height*width']), [0, 2, 1]),
    halves: concat([...halve(x, 1)].reverse(), 1),
    last: slice(x, 3, -1),
    range: cast(range(x, 2), 'float32'),
    squares: depthToSpace(concat([x, x], 1), 2),
    borrowed: reshape(transpose(x, [0, 2, 1, 3]), ['batch', 2, '4*height', '4*width'], [x]),
    depthwise: conv(x, constant('float32', [2, 1, 6, 1], new Array(12).fill(1)), null, {
      stride: [4, 1],
      pad: [1, 0, 1, 0],
      groups: 2,
    }),
  }
  const shapes = {
    every: [2, 2, 2, 4],
    grown: [2, 1, 8, 16],
    tokens: [2, 32, 2],
    halves: [2, 2, 4, 8],
    last: [2, 2, 4, 1],
    range: [4],
    squares: [2, 1, 8, 16],
    borrowed: [2, 2, 4, 8],
    depthwise: [2, 2, 1, 8],
  }
  const results = await run([x], pieces, { x: new Tensor('float32', numbers(2 * 2 * 4 * 8), [2, 2, 4, 8]) })
  for (const [name, shape] of Object.entries(shapes)) expect([name, results[name]!.dims]).toEqual([name, shape])
  expect([...(results.every!.data as Float32Array)].slice(0, 8)).toEqual([0, 2, 4, 6, 16, 18, 20, 22])
  expect([...(results.last!.data as Float32Array)].slice(0, 4)).toEqual([7, 15, 23, 31])
  expect([...(results.halves!.data as Float32Array)].slice(0, 2)).toEqual([32, 33])
  // The channels' outermost factor is the place in a square: 0 and 32 beside each other, then 0 and 32 again below.
  expect([...(results.squares!.data as Float32Array)].slice(0, 4)).toEqual([0, 32, 1, 33])
  // 0 + 8 + 16 + 24, the sum of the first column.
  expect((results.depthwise!.data as Float32Array)[0]).toBe(48)
})

test('silu is x · sigmoid(x)', async () => {
  const x = input('x', 'float32', [3])
  const { y } = await run([x], { y: silu(x) }, { x: new Tensor('float32', [-2, 0, 3], [3]) })
  const expected = [-2, 0, 3].map((number) => number / (1 + Math.exp(-number)))
  for (const [index, number] of expected.entries()) expect((y!.data as Float32Array)[index]).toBeCloseTo(number, 5)
})

test('the same code gives the same bytes', () => {
  const make = () => {
    const x = input('x', 'float32', ['batch', 4])
    const w = constant('float32', [4, 2], [1, 2, 3, 4, 5, 6, 7, 8])
    return build('same', [x], { y: matmul(x, w), z: matmul(x, constant('float32', [4, 2], [1, 2, 3, 4, 5, 6, 7, 8])) })
  }
  expect(Buffer.from(make().encode('/')).equals(Buffer.from(make().encode('/')))).toBe(true)
})

test('a mistake throws where it is made, with path, op, expected and got', () => {
  const x = input('latents', 'float32', ['images', 4, '8*height', '8*width'])
  const w = constant('float32', [8, 3, 3, 3], new Array(216).fill(0))
  const mistake = () => conv(x, w, null, { pad: 1 })
  expect(mistake).toThrow(GraphError)
  expect(mistake).toThrow(
    'Conv at latents: expected [B, Cin, H, W] and [Cout, Cin, kH, kW] of one dtype ' +
      '(operands float32[images, 4, 8*height, 8*width], float32[8, 3, 3, 3])',
  )
  try {
    mistake()
  } catch (error) {
    expect((error as Error).stack!.split('\n')[1]).toContain('build.test.ts')
  }
  expect(() => add(x, constant('float32', [5], [0, 0, 0, 0, 0]))).toThrow('expected shapes that broadcast')
  expect(() => add(x, constant('int64', [1], [0]))).toThrow('expected operands of one dtype')
  expect(() => reshape(x, ['images', 4, '64*height', 'width'])).toThrow('more than one open axis')
  expect(() => everyNth(x, 2, 3)).toThrow('3 does not divide axis 2')
})

test('inputs are listed, each once, and used', () => {
  const x = input('x', 'float32', [2])
  const y = input('y', 'float32', [2])
  expect(() => build('g', [x], { z: add(x, y) })).toThrow(`depend on the input 'y', which is not listed`)
  expect(() => build('g', [x, y], { z: add(x, x) })).toThrow(`the input 'y' feeds no output`)
  expect(() => build('g', [x], { x: add(x, x) })).toThrow(`'x' names an input and an output`)
  expect(() => build('g', [x, input('x', 'float32', [2])], { x })).toThrow(`two inputs are named 'x'`)
})

test('an input may be an output, and one value may be two outputs', async () => {
  const x = input('x', 'float32', [2])
  const y = add(x, x)
  const results = await run([x], { x2: x, y, again: y }, { x: new Tensor('float32', [1, 2], [2]) })
  expect([...(results.x2!.data as Float32Array)]).toEqual([1, 2])
  expect([...(results.again!.data as Float32Array)]).toEqual([2, 4])
})
