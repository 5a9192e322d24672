import { build, type Graph } from '../graph/build.ts'
import { add, multiply } from '../graph/ops/elementwise.ts'
import { matmul } from '../graph/ops/matrix.ts'
import { constant, external, input } from '../graph/value.ts'

// Networks for the tests of this folder: a thread imports the module that builds its graph.

/** y = x · factor + w, with w [size] in a file. */
export function scaled(factor: number, file: string, size: number): Graph {
  const x = input('x', 'float32', ['batch', size])
  const w = external('w', 'float32', [size], { file, offset: 0, length: size * 4 })
  return build('scaled', [x], { y: add(multiply(x, constant('float32', [1], [factor])), w) })
}

/** A long chain of products: something to wait for. */
export function slow(size: number, count: number): Graph {
  const x = input('x', 'float32', [size, size])
  let y = x
  for (let index = 0; index < count; index++) y = matmul(y, x)
  return build('slow', [x], { y })
}

export function broken(): Graph {
  throw new RangeError('the config has no layers')
}
