import { multiHeadAttention } from '../graph/ops/attention.ts'
import { add, gelu, quickGelu } from '../graph/ops/elementwise.ts'
import type { Value } from '../graph/value.ts'
import type { Weights } from '../weights/weights.ts'
import { lastSize, linear } from './linear.ts'
import { layerNorm } from './normalization.ts'
import { publishedConfig } from './published-config.ts'

/** What the text and the vision half of CLIP have in common. */
export interface ClipEncoderConfig {
  readonly layers: number
  readonly width: number
  readonly mlpWidth: number
  readonly heads: number
  /** OpenAI's models use quick_gelu, LAION's the exact gelu. */
  readonly activation: 'quick_gelu' | 'gelu'
  readonly epsilon: number
}

/** Reads what both halves' published configs have in common. Throws a RangeError that names the field. */
export function readClipEncoderConfig(published: unknown, source: string): ClipEncoderConfig {
  const config = publishedConfig(published, source)
  return {
    layers: config.size('num_hidden_layers'),
    width: config.size('hidden_size'),
    mlpWidth: config.size('intermediate_size'),
    heads: config.size('num_attention_heads'),
    activation: config.oneOf('hidden_act', ['quick_gelu', 'gelu']),
    epsilon: config.number('layer_norm_eps', 1e-5),
  }
}

/** transformers CLIPEncoder: x [B, T, C] → the hidden states before the first layer and after every one. */
export function clipEncoder(w: Weights, x: Value, c: ClipEncoderConfig, causal: boolean): Value[] {
  const states = [x]
  for (let index = 0; index < c.layers; index++)
    states.push(clipLayer(w.at('layers').at(index), states.at(-1)!, c, causal))
  return states
}

/** transformers CLIPEncoderLayer: x [B, T, C] → [B, T, C]. */
export function clipLayer(w: Weights, x: Value, c: ClipEncoderConfig, causal: boolean): Value {
  const attended = add(
    x,
    selfAttention(w.at('self_attn'), layerNorm(w.at('layer_norm1'), x, c.epsilon), c.heads, causal),
  )
  return add(attended, mlp(w.at('mlp'), layerNorm(w.at('layer_norm2'), attended, c.epsilon), c))
}

function selfAttention(w: Weights, x: Value, heads: number, causal: boolean): Value {
  const width = lastSize(x)
  const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((name) => linear(w.at(name), x, width))
  return linear(w.at('out_proj'), multiHeadAttention(q!, k!, v!, heads, causal), width)
}

function mlp(w: Weights, x: Value, c: ClipEncoderConfig): Value {
  const hidden = linear(w.at('fc1'), x, c.mlpWidth)
  return linear(w.at('fc2'), c.activation === 'gelu' ? gelu(hidden) : quickGelu(hidden), c.width)
}
