import { build } from './build.ts'
import { foldedNodes, weightBytes } from './folding.ts'
import { countOperations } from './operations.ts'
import { add, cast } from './ops/elementwise.ts'
import { matmul } from './ops/matrix.ts'
import { constant, external, input } from './value.ts'

const weight = (name: string, dtype: 'float16' | 'float32', shape: number[]) => {
  const length = shape.reduce((product, size) => product * size, dtype === 'float16' ? 2 : 4)
  return external(name, dtype, shape, { file: '/weights.bin', offset: 0, length })
}

test('what depends on weights alone is computed at load, counts for memory as it is kept, and for no run', () => {
  const x = input('x', 'float32', ['batch', 8])
  // [4, 3] as stored becomes [4, 6].
  const mixed = matmul(weight('mixed', 'float32', [4, 3]), constant('float32', [3, 6], new Array(18).fill(1)))
  const half = cast(weight('half', 'float16', [8, 4]), 'float32')
  const bias = weight('bias', 'float32', [6])
  const graph = build('folding', [x], { y: add(matmul(matmul(x, half), mixed), bias) })
  expect([...foldedNodes(graph)].map(({ op }) => op).sort()).toEqual(['Cast', 'MatMul'])
  expect(weightBytes(graph)).toBe(4 * (8 * 4 + 4 * 6 + 6))
  expect(countOperations(graph, { batch: 5 })).toBe(2 * 5 * (8 * 4 + 4 * 6))
})

test('a weight that is read at every run and also transformed counts twice', () => {
  const x = input('x', 'float32', [2, 2])
  const w = weight('w', 'float32', [2, 2])
  const graph = build('both', [x], { y: add(matmul(x, w), matmul(w, w)) })
  expect(weightBytes(graph)).toBe(2 * 16)
})
