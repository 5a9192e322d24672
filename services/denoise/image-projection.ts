import { reshape } from '../lib/graph/ops/layout.ts'
import type { Value } from '../lib/graph/value.ts'
import { linear } from '../lib/nn/linear.ts'
import { layerNorm } from '../lib/nn/normalization.ts'
import type { Weights } from '../lib/weights/weights.ts'

/** Tokens that stand for one image embedding, in MoMA as in IP-Adapter. */
export const contextTokens = 4

/** IP-Adapter's ImageProjModel: image embeddings [B, E] → context tokens [B, 4, `channels`]. */
export function imageProjection(w: Weights, embedding: Value, channels: number): Value {
  const [batch] = embedding.shape
  const tokens = reshape(linear(w.at('proj'), embedding, contextTokens * channels), [batch!, contextTokens, channels])
  return layerNorm(w.at('norm'), tokens, 1e-5)
}
