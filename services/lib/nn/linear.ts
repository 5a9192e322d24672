import { productOfDims } from '../graph/dimension.ts'
import { add } from '../graph/ops/elementwise.ts'
import { reshape, reshapeLike } from '../graph/ops/layout.ts'
import { gemmTransposed, matmulInt4, matmulTransposed } from '../graph/ops/matrix.ts'
import type { Value } from '../graph/value.ts'
import type { Weights } from '../weights/weights.ts'

/** torch Linear: x [..., in] → [..., out], with bias. */
export function linear(w: Weights, x: Value, out: number): Value {
  const weight = w.tensor('weight', [out, lastSize(x)])
  const bias = w.tensor('bias', [out])
  if (x.shape.length === 2) return gemmTransposed(x, weight, bias)
  // Gemm adds the bias on the way, but takes matrices only, and rows must find back to x's open axes.
  if (out === lastSize(x)) return reshapeLike(gemmTransposed(flattenRows(x), weight, bias), x)
  return add(matmulTransposed(x, weight), bias)
}

/**
 * torch Linear without bias: x [..., in] → [..., out]. Where the checkpoint was prepared in 4 bits (`weight.int4` and
 * `weight.scales` in the place of `weight`), the product is MatMulNBits.
 */
export function linearNoBias(w: Weights, x: Value, out: number): Value {
  const size = lastSize(x)
  if (!w.has('weight.int4')) return matmulTransposed(x, w.tensor('weight', [out, size]))
  const blocks = Math.ceil(size / 32)
  return matmulInt4(x, w.stored('weight.int4', [out, blocks, 16]), w.tensor('weight.scales', [out, blocks]))
}

/** [..., C] → [rows, C], a free view. */
export function flattenRows(x: Value): Value {
  return reshape(x, [productOfDims(x.shape.slice(0, -1)), lastSize(x)])
}

/** The size of the last axis, which the weights of a network always fix. */
export function lastSize(x: Value): number {
  const size = x.shape.at(-1)
  if (typeof size !== 'number') throw new RangeError(`${x.path}: the last axis is open where a layer needs its size`)
  return size
}
