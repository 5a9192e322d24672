import { build, type Graph } from '../lib/graph/build.ts'
import { add, cast } from '../lib/graph/ops/elementwise.ts'
import { input, type Value } from '../lib/graph/value.ts'
import { type ClipEncoderConfig, clipEncoder, readClipEncoderConfig } from '../lib/nn/clip.ts'
import { embedding } from '../lib/nn/embedding.ts'
import { layerNorm } from '../lib/nn/normalization.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import type { Weights } from '../lib/weights/weights.ts'

export interface ClipTextConfig extends ClipEncoderConfig {
  readonly vocabulary: number
  /** Tokens of every text, padding included (77). */
  readonly tokens: number
}

/** Reads the published `config.json` of a CLIPTextModel. Throws a RangeError that names the field. */
export function readClipTextConfig(published: unknown, source: string): ClipTextConfig {
  const config = publishedConfig(published, source)
  return {
    ...readClipEncoderConfig(published, source),
    vocabulary: config.size('vocab_size'),
    tokens: config.size('max_position_embeddings'),
  }
}

/** transformers CLIPTextModel: ids [B, tokens] → last hidden state after the final norm [B, tokens, C]. */
export function clipText(w: Weights, ids: Value, c: ClipTextConfig): Value {
  const embeddings = w.at('embeddings')
  const tokens = embedding(embeddings.at('token_embedding'), ids, c.vocabulary, c.width)
  const positions = embeddings.tensor('position_embedding.weight', [c.tokens, c.width], [1, c.tokens, c.width])
  const states = clipEncoder(w.at('encoder'), add(tokens, positions), c, true)
  return layerNorm(w.at('final_layer_norm'), states.at(-1)!, c.epsilon)
}

/** Graph `ids` [batch, tokens] (int64) → `states` [batch, tokens, C], float32. */
export function clipTextGraph(w: Weights, c: ClipTextConfig): Graph {
  const ids = input('ids', 'int64', ['batch', c.tokens])
  return build('text', [ids], { states: cast(clipText(w.at('text_model'), ids, c), 'float32') })
}

/** Buffers that older checkpoints carry beside the parameters. */
export const clipBuffers: readonly RegExp[] = [/\.embeddings\.position_ids$/]
