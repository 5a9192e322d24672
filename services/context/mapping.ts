import { multiply, silu } from '../lib/graph/ops/elementwise.ts'
import type { Value } from '../lib/graph/value.ts'
import { linearNoBias } from '../lib/nn/linear.ts'
import type { Weights } from '../lib/weights/weights.ts'

/**
 * From the MLLM's last state [B, C] to the context embedding [B, E], which stands for the CLIP image embedding of the
 * picture to be. `linear` is the supplement's one map (`weight`); `gated` is that of the released weights:
 * down(silu(gate x) · up x). Neither has biases.
 */
export function mapping(w: Weights, state: Value, kind: MappingKind, out: number): Value {
  if (kind === 'linear') return linearNoBias(w, state, out)
  const gate = silu(linearNoBias(w.at('gate_proj'), state, out))
  return linearNoBias(w.at('down_proj'), multiply(gate, linearNoBias(w.at('up_proj'), state, out)), out)
}

export type MappingKind = 'linear' | 'gated'
