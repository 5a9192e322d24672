import { type Dim, equalDims } from '../dimension.ts'
import { broadcastShapes } from '../shape.ts'
import { emitOne, graphError, type Value } from '../value.ts'

/** MatMul (opset 13): [..., M, K] × [..., K, N] → [..., M, N], leading axes broadcast. */
export function matmul(a: Value, b: Value): Value {
  const shape = productShape(a, b, false)
  if (!shape) throw graphError(matmul, 'MatMul', [a, b], 'expected [..., M, K] and [..., K, N]')
  return emitOne({ name: 'MatMul' }, [a, b], {}, a.dtype, shape)
}

/**
 * com.microsoft FusedMatMul with transB: alpha · x · wᵀ for w [N, K] as torch stores linear layers, so that the
 * weight stays as it lies in its file.
 */
export function matmulTransposed(a: Value, b: Value, alpha = 1): Value {
  const shape = productShape(a, b, true)
  if (!shape) throw graphError(matmulTransposed, 'FusedMatMul', [a, b], 'expected [..., M, K] and [..., N, K]')
  const attributes = { transB: { int: 1 }, alpha: { float: alpha } }
  return emitOne({ name: 'FusedMatMul', domain: 'com.microsoft' }, [a, b], attributes, a.dtype, shape)
}

/** Gemm (opset 13) with transB: x [M, K], w [N, K], bias [N] → x·wᵀ + bias [M, N]. */
export function gemmTransposed(x: Value, w: Value, bias: Value | null): Value {
  if (x.shape.length !== 2 || w.shape.length !== 2 || !equalDims(x.shape[1]!, w.shape[1]!)) {
    throw graphError(gemmTransposed, 'Gemm', [x, w], 'expected [M, K] and [N, K]')
  }
  if (bias && !(bias.shape.length === 1 && equalDims(bias.shape[0]!, w.shape[0]!))) {
    throw graphError(gemmTransposed, 'Gemm', [x, w, bias], 'expected a bias [N]')
  }
  return emitOne({ name: 'Gemm' }, [x, w, bias], { transB: { int: 1 } }, x.dtype, [x.shape[0]!, w.shape[0]!])
}

/**
 * com.microsoft MatMulNBits: x [..., K] × the 4-bit weight [N, K] → [..., N]. The weight comes in blocks of 32 along
 * K: packed [N, K/32, 16] (low nibble first, zero point 8) and scales [N, K/32]. Accuracy level 4 quantises the
 * activations to int8 by block, which is what makes it fast on CPUs.
 */
export function matmulInt4(x: Value, packed: Value, scales: Value): Value {
  const [n, blocks, bytes] = packed.shape
  const k = x.shape.at(-1)
  if (typeof n !== 'number' || typeof blocks !== 'number' || bytes !== 16 || k !== blocks * 32) {
    throw graphError(matmulInt4, 'MatMulNBits', [x, packed, scales], 'expected x [..., K] and weights [N, K/32, 16]')
  }
  const attributes = {
    K: { int: k },
    N: { int: n },
    bits: { int: 4 },
    block_size: { int: 32 },
    accuracy_level: { int: 4 },
  }
  const op = { name: 'MatMulNBits', domain: 'com.microsoft' } as const
  return emitOne(op, [x, packed, scales], attributes, x.dtype, [...x.shape.slice(0, -1), n])
}

function productShape(a: Value, b: Value, transposed: boolean): Dim[] | undefined {
  if (a.dtype !== b.dtype || a.shape.length < 2 || b.shape.length < 2) return undefined
  const [m, k] = a.shape.slice(-2)
  const [rows, columns] = b.shape.slice(-2)
  const [innerB, n] = transposed ? [columns, rows] : [rows, columns]
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2))
  return batch && equalDims(k!, innerB!) ? [...batch, m!, n!] : undefined
}
