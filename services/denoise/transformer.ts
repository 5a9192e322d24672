import { multiplyDims } from '../lib/graph/dimension.ts'
import { multiHeadAttention } from '../lib/graph/ops/attention.ts'
import { add, biasGelu, multiply } from '../lib/graph/ops/elementwise.ts'
import { reshape, reshapeLike, transpose } from '../lib/graph/ops/layout.ts'
import { gemmTransposed, matmulTransposed } from '../lib/graph/ops/matrix.ts'
import type { Value } from '../lib/graph/value.ts'
import { channelsOf, conv2d } from '../lib/nn/convolution.ts'
import { flattenRows, lastSize, linear, linearNoBias } from '../lib/nn/linear.ts'
import { groupNorm, layerNorm } from '../lib/nn/normalization.ts'
import type { Weights } from '../lib/weights/weights.ts'

/** Which of the UNet's transformer blocks this is, and how large. */
export interface AttentionLayer {
  /**
   * Place of the block in the order down, up, middle. Adapter checkpoints number the attention layers in this order:
   * 2 · block is the self-attention, 2 · block + 1 the cross-attention.
   */
  readonly block: number
  /** How often the latents were halved at this depth: 0 … 3. */
  readonly level: number
  readonly channels: number
  readonly heads: number
}

/**
 * What the two attentions of a block compute. Each takes the scope of its projections (`attn1` or `attn2`) and the
 * normalised tokens [B, T, C] and gives the heads' outputs side by side [B, T, C]; the block projects them out.
 */
export interface UNetAttention {
  readonly self: (w: Weights, x: Value, layer: AttentionLayer) => Value
  readonly cross: (w: Weights, x: Value, layer: AttentionLayer) => Value
  /**
   * Repeats pictures or tokens along the batch, once for every text; no text is read before the first block's
   * `cross`, so that what is the same for all of them is computed once. Not given where every picture has its own text.
   */
  readonly repeat?: (x: Value) => Value
}

/** Ordinary attention of x [B, T, C] to `source` [B, S, D], itself or the text's states: diffusers Attention up to `to_out`. */
export function attend(w: Weights, x: Value, source: Value, { channels, heads }: AttentionLayer): Value {
  const q = linearNoBias(w.at('to_q'), x, channels)
  const [k, v] = ['to_k', 'to_v'].map((name) => linearNoBias(w.at(name), source, channels))
  return multiHeadAttention(q, k!, v!, heads)
}

/** diffusers Transformer2DModel with one block: x [B, C, H, W] → [B, C, H, W]; the first block repeats B for the texts. */
export function transformer(
  w: Weights,
  x: Value,
  attention: UNetAttention,
  layer: AttentionLayer,
  groups: number,
): Value {
  const [batch, , height, width] = x.shape
  const out = channelsOf(x)
  const projected = conv2d(w.at('proj_in'), groupNorm(w.at('norm'), x, { groups, epsilon: 1e-6 }), { out, kernel: 1 })
  const tokens = transpose(reshape(projected, [batch!, out, multiplyDims(height!, width!)]), [0, 2, 1])
  const mixed = transpose(transformerBlock(w.at('transformer_blocks.0'), tokens, attention, layer), [0, 2, 1])
  const residual = repeatForTexts(x, attention, layer)
  return add(residual, conv2d(w.at('proj_out'), reshapeLike(mixed, residual), { out, kernel: 1 }))
}

/** diffusers BasicTransformerBlock: x [B, T, C] → [B, T, C]; the first block repeats B for the texts. */
export function transformerBlock(w: Weights, x: Value, attention: UNetAttention, layer: AttentionLayer): Value {
  const [attn1, attn2] = [w.at('attn1'), w.at('attn2')]
  const own = attention.self(attn1, layerNorm(w.at('norm1'), x, 1e-5), layer)
  const afterSelf = repeatForTexts(add(x, linear(attn1.at('to_out.0'), own, layer.channels)), attention, layer)
  const read = attention.cross(attn2, layerNorm(w.at('norm2'), afterSelf, 1e-5), layer)
  const afterCross = add(afterSelf, linear(attn2.at('to_out.0'), read, layer.channels))
  return add(afterCross, feedForward(w.at('ff'), layerNorm(w.at('norm3'), afterCross, 1e-5)))
}

function repeatForTexts(x: Value, attention: UNetAttention, layer: AttentionLayer): Value {
  return layer.block === 0 && attention.repeat ? attention.repeat(x) : x
}

/** diffusers FeedForward with GEGLU: four times as wide inside, one half gating the other. x [B, T, C] → [B, T, C]. */
function feedForward(w: Weights, x: Value): Value {
  const channels = lastSize(x)
  const projection = w.at('net.0.proj')
  const [hiddenWeight, gateWeight] = projection.parts('weight', [8 * channels, channels], 2)
  const [hiddenBias, gateBias] = projection.parts('bias', [8 * channels], 2)
  const rows = flattenRows(x)
  const hidden = gemmTransposed(rows, hiddenWeight!, hiddenBias!)
  const gate = biasGelu(matmulTransposed(rows, gateWeight!), gateBias!)
  return reshapeLike(linear(w.at('net.2'), multiply(hidden, gate), channels), x)
}
