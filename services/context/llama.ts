import { multiHeadAttention, rotaryEmbedding } from '../lib/graph/ops/attention.ts'
import { add, cast, multiply, silu } from '../lib/graph/ops/elementwise.ts'
import { slice } from '../lib/graph/ops/layout.ts'
import { constant, type Value } from '../lib/graph/value.ts'
import { rotaryTables } from '../lib/nn/embedding.ts'
import { linearNoBias } from '../lib/nn/linear.ts'
import { rmsNorm } from '../lib/nn/normalization.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import type { Weights } from '../lib/weights/weights.ts'

export interface LlamaConfig {
  readonly layers: number
  readonly width: number
  readonly mlpWidth: number
  readonly heads: number
  readonly vocabulary: number
  readonly epsilon: number
  /** Base of the rotary frequencies (10000). */
  readonly ropeTheta: number
}

/** Reads the published `config.json` of a LLaMA or LLaVA model. Throws a RangeError that names the field. */
export function readLlamaConfig(published: unknown, source: string): LlamaConfig {
  const config = publishedConfig(published, source)
  const heads = config.size('num_attention_heads')
  if (config.size('num_key_value_heads', heads) !== heads) {
    throw new RangeError(
      `${source}: num_key_value_heads differs from num_attention_heads, allowed is the same (${heads})`,
    )
  }
  return {
    layers: config.size('num_hidden_layers'),
    width: config.size('hidden_size'),
    mlpWidth: config.size('intermediate_size'),
    heads,
    vocabulary: config.size('vocab_size'),
    epsilon: config.number('rms_norm_eps'),
    ropeTheta: config.number('rope_theta', 10000),
  }
}

interface Rotation {
  readonly cosines: Value
  readonly sines: Value
}

/**
 * transformers LlamaModel over one whole sequence, of which only the last token's state is wanted: embedded tokens
 * [B, T, C] → the last token's state after the final norm [B, 1, C]. The last layer therefore computes its queries
 * and its MLP for that token alone.
 */
export function llamaLastState(w: Weights, embedded: Value, c: LlamaConfig): Value {
  const rotation = rotaryTables(embedded, c.width / c.heads, c.ropeTheta)
  let x = embedded
  for (let index = 0; index < c.layers - 1; index++) x = llamaLayer(w.at('layers').at(index), x, rotation, c)
  x = llamaLastLayer(w.at('layers').at(c.layers - 1), x, rotation, c)
  return rmsNorm(w.at('norm'), x, c.epsilon)
}

/** transformers LlamaDecoderLayer: x [B, T, C] → [B, T, C]. */
export function llamaLayer(w: Weights, x: Value, rotation: Rotation, c: LlamaConfig): Value {
  const attention = w.at('self_attn')
  const { q, k, v } = projections(attention, rmsNorm(w.at('input_layernorm'), x, c.epsilon), rotation, c)
  const attended = add(x, linearNoBias(attention.at('o_proj'), multiHeadAttention(q, k, v, c.heads, true), c.width))
  return add(attended, mlp(w.at('mlp'), rmsNorm(w.at('post_attention_layernorm'), attended, c.epsilon), c))
}

/** Like `llamaLayer`, for the last token's result alone: it sees every position, so no causal mask is needed. */
function llamaLastLayer(w: Weights, x: Value, rotation: Rotation, c: LlamaConfig): Value {
  const attention = w.at('self_attn')
  const { q, k, v } = projections(attention, rmsNorm(w.at('input_layernorm'), x, c.epsilon), rotation, c)
  const seen = multiHeadAttention(lastToken(q), k, v, c.heads)
  const attended = add(lastToken(x), linearNoBias(attention.at('o_proj'), seen, c.width))
  return add(attended, mlp(w.at('mlp'), rmsNorm(w.at('post_attention_layernorm'), attended, c.epsilon), c))
}

function projections(
  w: Weights,
  x: Value,
  { cosines, sines }: Rotation,
  c: LlamaConfig,
): { q: Value; k: Value; v: Value } {
  const project = (name: string) => linearNoBias(w.at(name), x, c.width)
  // One number means: positions count up from it.
  const positions = constant('int64', [1], [0])
  const rotate = (y: Value) => rotaryEmbedding(y, positions, cast(cosines, y.dtype), cast(sines, y.dtype), c.heads)
  return { q: rotate(project('q_proj')), k: rotate(project('k_proj')), v: project('v_proj') }
}

function mlp(w: Weights, x: Value, c: LlamaConfig): Value {
  const gate = silu(linearNoBias(w.at('gate_proj'), x, c.mlpWidth))
  return linearNoBias(w.at('down_proj'), multiply(gate, linearNoBias(w.at('up_proj'), x, c.mlpWidth)), c.width)
}

function lastToken(x: Value): Value {
  return slice(x, 1, -1)
}
