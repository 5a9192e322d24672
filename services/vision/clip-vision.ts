import { build, type Graph } from '../lib/graph/build.ts'
import { add, cast } from '../lib/graph/ops/elementwise.ts'
import { concat, expandLike, reshape, slice, transpose } from '../lib/graph/ops/layout.ts'
import { input, type Value } from '../lib/graph/value.ts'
import { type ClipEncoderConfig, clipEncoder, readClipEncoderConfig } from '../lib/nn/clip.ts'
import { conv2d } from '../lib/nn/convolution.ts'
import { linearNoBias } from '../lib/nn/linear.ts'
import { layerNorm } from '../lib/nn/normalization.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import type { Weights } from '../lib/weights/weights.ts'

export interface ClipVisionConfig extends ClipEncoderConfig {
  /** Side of the square picture in pixels. */
  readonly imageSize: number
  /** Side of a square patch in pixels. */
  readonly patchSize: number
}

/**
 * Reads the published `config.json` of a CLIP vision tower, or of a whole CLIP model, which holds the tower's as
 * `vision_config`. Throws a RangeError that names the field.
 */
export function readClipVisionConfig(published: unknown, source: string): ClipVisionConfig {
  const whole = typeof published === 'object' && published !== null && 'vision_config' in published
  const own = whole ? published.vision_config : published
  const config = publishedConfig(own, source)
  return {
    ...readClipEncoderConfig(own, source),
    imageSize: config.size('image_size'),
    patchSize: config.size('patch_size'),
  }
}

/** transformers CLIPVisionModel up to its hidden states: pixels [B, 3, S, S], CLIP-normalised → each [B, 1 + patches, C]. */
export function clipVisionStates(w: Weights, pixels: Value, c: ClipVisionConfig): Value[] {
  const embedded = clipVisionEmbeddings(w.at('embeddings'), pixels, c)
  // 'pre_layrnorm' is how the published checkpoints spell it.
  return clipEncoder(w.at('encoder'), layerNorm(w.at('pre_layrnorm'), embedded, c.epsilon), c, false)
}

/**
 * What LLaVA sees of a picture: the patches' states after the last layer but one, the class token left out.
 * pixels [B, 3, S, S] → [B, patches, C].
 */
export function clipPatchFeatures(w: Weights, pixels: Value, c: ClipVisionConfig): Value {
  const states = clipVisionStates(w.at('vision_model'), pixels, c)
  return slice(states.at(-2)!, 1, 1, 1 + patchCount(c))
}

/** transformers CLIPVisionModelWithProjection: pixels [B, 3, S, S] → image embedding [B, `projection`]. */
export function clipImageEmbedding(w: Weights, pixels: Value, c: ClipVisionConfig, projection: number): Value {
  const states = clipVisionStates(w.at('vision_model'), pixels, c)
  const classToken = reshape(slice(states.at(-1)!, 1, 0, 1), ['batch', c.width])
  const pooled = layerNorm(w.at('vision_model').at('post_layernorm'), classToken, c.epsilon)
  return linearNoBias(w.at('visual_projection'), pooled, projection)
}

/** Graph `pixels` [batch, 3, S, S] → `features` [batch, patches, C], float32. */
export function patchFeaturesGraph(w: Weights, c: ClipVisionConfig): Graph {
  const pixels = pixelsInput(c)
  return build('patch-features', [pixels], {
    features: cast(clipPatchFeatures(w, cast(pixels, w.compute), c), 'float32'),
  })
}

/** Graph `pixels` [batch, 3, S, S] → `embedding` [batch, `projection`], float32. */
export function imageEmbeddingGraph(w: Weights, c: ClipVisionConfig, projection: number): Graph {
  const pixels = pixelsInput(c)
  const embedding = clipImageEmbedding(w, cast(pixels, w.compute), c, projection)
  return build('image-embedding', [pixels], { embedding: cast(embedding, 'float32') })
}

export function patchCount({ imageSize, patchSize }: ClipVisionConfig): number {
  return Math.floor(imageSize / patchSize) ** 2
}

function clipVisionEmbeddings(w: Weights, pixels: Value, c: ClipVisionConfig): Value {
  const patches = patchCount(c)
  const grid = conv2d(w.at('patch_embedding'), pixels, {
    out: c.width,
    kernel: c.patchSize,
    stride: c.patchSize,
    bias: false,
  })
  const tokens = transpose(reshape(grid, ['batch', c.width, patches]), [0, 2, 1])
  const classToken = expandLike(w.tensor('class_embedding', [c.width], [1, 1, c.width]), slice(tokens, 1, 0, 1))
  const positions = w.tensor('position_embedding.weight', [patches + 1, c.width], [1, patches + 1, c.width])
  return add(concat([classToken, tokens], 1), positions)
}

function pixelsInput(c: ClipVisionConfig): Value {
  return input('pixels', 'float32', ['batch', 3, c.imageSize, c.imageSize])
}

/** What a file of a whole CLIP model holds beside its vision tower, and the norm and projection that patch features do without. */
export const clipVisionUnused: readonly RegExp[] = [
  /^text_model\./,
  /^text_projection\.weight$/,
  /^logit_scale$/,
  /^vision_model\.embeddings\.position_ids$/,
  /^vision_model\.post_layernorm\./,
  /^visual_projection\.weight$/,
]
