import { build, type Graph } from '../lib/graph/build.ts'
import { cast, multiply } from '../lib/graph/ops/elementwise.ts'
import { reshape, transpose } from '../lib/graph/ops/layout.ts'
import { constant, input, type Value } from '../lib/graph/value.ts'
import { linearNoBias } from '../lib/nn/linear.ts'
import type { Weights } from '../lib/weights/weights.ts'
import { imageProjection } from './image-projection.ts'
import type { AttentionLayer } from './transformer.ts'
import { attentionLayers, type UNetConfig } from './unet.ts'

/** The learned parts that turn an image embedding into keys and values: MoMA's own, or IP-Adapter's. */
export interface ContextAdapter {
  /** Scope of the image projection: `projectors`, or `image_proj`. */
  readonly projection: Weights
  /** Scope of the attention layers by number: `self_cross_attentions`, or `ip_adapter`. */
  readonly attentions: Weights
  /** Channels of the image embedding (1024). */
  readonly embeddingChannels: number
}

/**
 * Graph of everything that text and context contribute to the cross-attentions, which is the same at every step.
 *
 * Inputs: `text` [2, text_tokens, D] and `context_embedding` [2, E], the unconditional half first (its embedding is zero).
 * Outputs, float32, for every transformer block b with H heads of d channels: `text_key.<b>` [2, H, d, text_tokens],
 * `text_value.<b>` [2, H, text_tokens, d], `context_key.<b>` [2, H, d, 4], `context_value.<b>` [2, H, 4, d]. The keys
 * lie as the product with the queries wants them and hold the factor 1/√d.
 */
export function conditionGraph(w: Weights, adapter: ContextAdapter, c: UNetConfig): Graph {
  const text = input('text', 'float32', [2, 'text_tokens', c.textChannels])
  const embedding = input('context_embedding', 'float32', [2, adapter.embeddingChannels])
  const textStates = cast(text, w.compute)
  const contextStates = imageProjection(adapter.projection, cast(embedding, w.compute), c.textChannels)
  const outputs: Record<string, Value> = {}
  for (const [layer, scope] of crossAttentionScopes(w, c)) {
    const { block, channels } = layer
    const maps = adapter.attentions.at(2 * block + 1)
    outputs[`text_key.${block}`] = keys(linearNoBias(scope.at('to_k'), textStates, channels), layer)
    outputs[`text_value.${block}`] = values(linearNoBias(scope.at('to_v'), textStates, channels), layer)
    outputs[`context_key.${block}`] = keys(linearNoBias(maps.at('to_k_ip'), contextStates, channels), layer)
    outputs[`context_value.${block}`] = values(linearNoBias(maps.at('to_v_ip'), contextStates, channels), layer)
  }
  return build('condition', [text, embedding], outputs)
}

/** Scopes of all `attn2` of the UNet with the layers that they belong to. */
function crossAttentionScopes(w: Weights, c: UNetConfig): [AttentionLayer, Weights][] {
  const { down, up, middle } = attentionLayers(c)
  const top = c.channels.length - 1
  const scope = (place: string, index: number) => w.at(`${place}.attentions.${index}.transformer_blocks.0.attn2`)
  return [
    ...down.flatMap((layers, level) =>
      layers.map((layer, index): [AttentionLayer, Weights] => [layer, scope(`down_blocks.${level}`, index)]),
    ),
    ...up.flatMap((layers, level) =>
      layers.map((layer, index): [AttentionLayer, Weights] => [layer, scope(`up_blocks.${top - level}`, index)]),
    ),
    [middle, scope('mid_block', 0)],
  ]
}

/** [B, S, C] → [B, H, d, S], scaled by 1/√d. */
function keys(x: Value, layer: AttentionLayer): Value {
  const scale = cast(constant('float32', [1], [1 / Math.sqrt(layer.channels / layer.heads)]), x.dtype)
  return cast(transpose(heads(multiply(x, scale), layer), [0, 2, 3, 1]), 'float32')
}

/** [B, S, C] → [B, H, S, d]. */
function values(x: Value, layer: AttentionLayer): Value {
  return cast(transpose(heads(x, layer), [0, 2, 1, 3]), 'float32')
}

function heads(x: Value, layer: AttentionLayer): Value {
  const [batch, tokens] = x.shape
  return reshape(x, [batch!, tokens!, layer.heads, layer.channels / layer.heads])
}
