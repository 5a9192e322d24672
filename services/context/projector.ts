import { gelu } from '../lib/graph/ops/elementwise.ts'
import type { Value } from '../lib/graph/value.ts'
import { linear } from '../lib/nn/linear.ts'
import type { Weights } from '../lib/weights/weights.ts'

/** LLaVA-1.5's mlp2x_gelu: patch features [B, P, Cv] → tokens of the decoder [B, P, `width`]. */
export function projector(w: Weights, features: Value, width: number): Value {
  return linear(w.at(2), gelu(linear(w.at(0), features, width)), width)
}
