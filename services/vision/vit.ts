import { build, type Graph } from '../lib/graph/build.ts'
import { multiHeadAttention } from '../lib/graph/ops/attention.ts'
import { add, cast, gelu } from '../lib/graph/ops/elementwise.ts'
import { concat, expandLike, reshape, slice, transpose } from '../lib/graph/ops/layout.ts'
import { input, type Value } from '../lib/graph/value.ts'
import { conv2d } from '../lib/nn/convolution.ts'
import { linear, linearNoBias } from '../lib/nn/linear.ts'
import { layerNorm } from '../lib/nn/normalization.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import type { Weights } from '../lib/weights/weights.ts'

export interface VitConfig {
  /** Side of the square picture in pixels. */
  readonly imageSize: number
  /** Side of a square patch in pixels. */
  readonly patchSize: number
  readonly layers: number
  readonly width: number
  readonly mlpWidth: number
  readonly heads: number
  readonly epsilon: number
  /** Whether queries, keys and values have a bias. */
  readonly qkvBias: boolean
}

/** Reads the published `config.json` of a ViTModel, such as facebook/dino-vits16. Throws a RangeError that names the field. */
export function readVitConfig(published: unknown, source: string): VitConfig {
  const config = publishedConfig(published, source)
  config.fixed('hidden_act', 'gelu')
  config.fixed('num_channels', 3)
  return {
    imageSize: config.size('image_size'),
    patchSize: config.size('patch_size'),
    layers: config.size('num_hidden_layers'),
    width: config.size('hidden_size'),
    mlpWidth: config.size('intermediate_size'),
    heads: config.size('num_attention_heads'),
    epsilon: config.number('layer_norm_eps', 1e-12),
    qkvBias: config.flag('qkv_bias', true),
  }
}

/** transformers ViTModel: pixels [B, 3, S, S] → the class token's last state after the final norm [B, C]. */
export function vitClassToken(w: Weights, pixels: Value, c: VitConfig): Value {
  let x = embeddings(w.at('embeddings'), pixels, c)
  for (let index = 0; index < c.layers; index++) x = vitLayer(w.at('encoder.layer').at(index), x, c)
  const classToken = reshape(slice(x, 1, 0, 1), ['batch', c.width])
  return layerNorm(w.at('layernorm'), classToken, c.epsilon)
}

/** transformers ViTLayer: x [B, T, C] → [B, T, C]. */
export function vitLayer(w: Weights, x: Value, c: VitConfig): Value {
  const normalized = layerNorm(w.at('layernorm_before'), x, c.epsilon)
  const project = c.qkvBias ? linear : linearNoBias
  const attention = w.at('attention.attention')
  const [q, k, v] = ['query', 'key', 'value'].map((name) => project(attention.at(name), normalized, c.width))
  const mixed = linear(w.at('attention.output.dense'), multiHeadAttention(q!, k!, v!, c.heads), c.width)
  const attended = add(x, mixed)
  const after = layerNorm(w.at('layernorm_after'), attended, c.epsilon)
  const hidden = gelu(linear(w.at('intermediate.dense'), after, c.mlpWidth))
  return add(attended, linear(w.at('output.dense'), hidden, c.width))
}

/** Graph `pixels` [batch, 3, S, S] → `embedding` [batch, C], float32. */
export function vitGraph(w: Weights, c: VitConfig): Graph {
  const pixels = input('pixels', 'float32', ['batch', 3, c.imageSize, c.imageSize])
  return build('vit', [pixels], { embedding: cast(vitClassToken(w, cast(pixels, w.compute), c), 'float32') })
}

/** The pooler on top of the class token, which DINO was not trained with. */
export const vitUnused: readonly RegExp[] = [/^pooler\./]

function embeddings(w: Weights, pixels: Value, c: VitConfig): Value {
  const patches = Math.floor(c.imageSize / c.patchSize) ** 2
  const projection = w.at('patch_embeddings.projection')
  const grid = conv2d(projection, pixels, { out: c.width, kernel: c.patchSize, stride: c.patchSize })
  const tokens = transpose(reshape(grid, ['batch', c.width, patches]), [0, 2, 1])
  const classToken = expandLike(w.tensor('cls_token', [1, 1, c.width]), slice(tokens, 1, 0, 1))
  return add(concat([classToken, tokens], 1), w.tensor('position_embeddings', [1, patches + 1, c.width]))
}
