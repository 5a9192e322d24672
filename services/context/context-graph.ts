import { build, type Graph } from '../lib/graph/build.ts'
import { cast } from '../lib/graph/ops/elementwise.ts'
import { concat, gather, reshape } from '../lib/graph/ops/layout.ts'
import { input, type Value } from '../lib/graph/value.ts'
import type { Weights } from '../lib/weights/weights.ts'
import { type LlamaConfig, llamaLastState } from './llama.ts'
import { type MappingKind, mapping } from './mapping.ts'
import { projector } from './projector.ts'

export interface ContextConfig extends LlamaConfig {
  /** Channels of the patch features (1024). */
  readonly featureChannels: number
  readonly mapping: MappingKind
  /** Channels of the context embedding (1024). */
  readonly embeddingChannels: number
}

/**
 * Graph of the multimodal decoder: one pass over instruction and picture, no token generated.
 *
 * Inputs: `features` [batch, patches, Cv], the reference's patch features; `ids_before` [batch, before] and `ids_after`
 * [batch, after] (int64), the instruction's tokens around the picture, the learned token last.
 * Output: `context_embedding` [batch, E], float32.
 *
 * `llava` is the root of the LLaVA checkpoint, `map` the scope of the mapping.
 */
export function contextGraph(llava: Weights, map: Weights, c: ContextConfig): Graph {
  const features = input('features', 'float32', ['batch', 'patches', c.featureChannels])
  const idsBefore = input('ids_before', 'int64', ['batch', 'before'])
  const idsAfter = input('ids_after', 'int64', ['batch', 'after'])
  const w = llava.at('model')
  const picture = projector(w.at('mm_projector'), cast(features, w.compute), c.width)
  const table = w.at('embed_tokens').stored('weight', [c.vocabulary, c.width])
  const words = (ids: Value) => cast(gather(table, ids), w.compute)
  const state = llamaLastState(w, concat([words(idsBefore), picture, words(idsAfter)], 1), c)
  const e = mapping(map, reshape(state, ['batch', c.width]), c.mapping, c.embeddingChannels)
  return build('context', [features, idsBefore, idsAfter], { context_embedding: cast(e, 'float32') })
}

/**
 * What LLaVA checkpoints hold that a prefill does not need: the head over the vocabulary, buffers of older
 * transformers, and a copy of the vision tower, which is read from its own file.
 */
export const llavaUnused: readonly RegExp[] = [
  /^lm_head\.weight$/,
  /\.self_attn\.rotary_emb\.inv_freq$/,
  /^model\.vision_tower\./,
]
