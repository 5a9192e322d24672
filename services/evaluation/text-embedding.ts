import { type ClipTextConfig, clipText, readClipTextConfig } from '../denoise/clip-text.ts'
import { build, type Graph } from '../lib/graph/build.ts'
import { cast } from '../lib/graph/ops/elementwise.ts'
import { reshape } from '../lib/graph/ops/layout.ts'
import { matmul } from '../lib/graph/ops/matrix.ts'
import { input, type Value } from '../lib/graph/value.ts'
import { linearNoBias } from '../lib/nn/linear.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import type { Weights } from '../lib/weights/weights.ts'

export interface TextEmbeddingConfig extends ClipTextConfig {
  /** Channels of the space that texts and pictures share. */
  readonly projection: number
}

/**
 * Reads the published `config.json` of a CLIPTextModelWithProjection, or of a whole CLIP model, which holds the text
 * half's as `text_config`. Throws a RangeError that names the field.
 */
export function readTextEmbeddingConfig(published: unknown, source: string): TextEmbeddingConfig {
  const whole = typeof published === 'object' && published !== null && 'text_config' in published
  const text = readClipTextConfig(whole ? published.text_config : published, source)
  return { ...text, projection: publishedConfig(published, source).size('projection_dim') }
}

/**
 * transformers CLIPTextModelWithProjection: ids [B, T] → text embedding [B, `projection`]. `end` [B, T] is one at the
 * text's first end token, whose state stands for the whole text, and zero elsewhere.
 */
export function clipTextEmbedding(w: Weights, ids: Value, end: Value, c: TextEmbeddingConfig): Value {
  const states = clipText(w.at('text_model'), ids, c)
  const pooled = matmul(reshape(cast(end, w.compute), ['batch', 1, c.tokens]), states)
  return linearNoBias(w.at('text_projection'), reshape(pooled, ['batch', c.width]), c.projection)
}

/** Graph `ids` [batch, T] (int64), `end` [batch, T] → `embedding` [batch, `projection`], float32. */
export function textEmbeddingGraph(w: Weights, c: TextEmbeddingConfig): Graph {
  const ids = input('ids', 'int64', ['batch', c.tokens])
  const end = input('end', 'float32', ['batch', c.tokens])
  return build('text-embedding', [ids, end], { embedding: cast(clipTextEmbedding(w, ids, end, c), 'float32') })
}
