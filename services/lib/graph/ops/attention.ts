import { equalDims } from '../dimension.ts'
import { emitOne, graphError, type Value } from '../value.ts'

/**
 * com.microsoft MultiHeadAttention: q [B, T, C], k and v [B, S, C], C in `heads` equal parts → softmax(q·kᵀ/√d)·v
 * [B, T, C]. `causal`: position t sees only positions up to t.
 */
export function multiHeadAttention(q: Value, k: Value, v: Value, heads: number, causal = false): Value {
  const [batch, , channels] = q.shape
  const fits = (value: Value) =>
    value.shape.length === 3 && equalDims(value.shape[0]!, batch!) && equalDims(value.shape[2]!, channels!)
  if (q.shape.length !== 3 || !fits(k) || !fits(v) || !equalDims(k.shape[1]!, v.shape[1]!)) {
    throw graphError(multiHeadAttention, 'MultiHeadAttention', [q, k, v], 'expected [B, T, C], [B, S, C], [B, S, C]')
  }
  if (typeof channels !== 'number' || channels % heads !== 0) {
    throw graphError(
      multiHeadAttention,
      'MultiHeadAttention',
      [q, k, v],
      `expected channels that ${heads} heads divide`,
    )
  }
  const attributes = { num_heads: { int: heads }, ...(causal ? { unidirectional: { int: 1 } } : {}) }
  return emitOne({ name: 'MultiHeadAttention', domain: 'com.microsoft' }, [q, k, v], attributes, q.dtype, q.shape)
}

/**
 * com.microsoft RotaryEmbedding, half-split as LLaMA's: x [B, T, C], positions [B, T] (int64), cosines and sines
 * [positions, d/2] for heads of d channels.
 */
export function rotaryEmbedding(x: Value, positions: Value, cosines: Value, sines: Value, heads: number): Value {
  if (x.shape.length !== 3 || positions.dtype !== 'int64') {
    throw graphError(
      rotaryEmbedding,
      'RotaryEmbedding',
      [x, positions],
      'expected [B, T, C] and int64 positions [B, T]',
    )
  }
  const op = { name: 'RotaryEmbedding', domain: 'com.microsoft' } as const
  return emitOne(op, [x, positions, cosines, sines], { num_heads: { int: heads } }, x.dtype, x.shape)
}
