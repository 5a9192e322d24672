import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { type FloatTensor, intTensor } from '../lib/runtime/tensor.ts'
import type { LlamaTokenizer } from '../lib/tokenizers/llama.ts'
import { encodeInstruction } from './instruction.ts'

/** What the MLLM makes of photo and sentence. In this process or behind gRPC, it is the same. */
export interface Context {
  /**
   * The context embedding [1, E]: what the CLIP image embedding of the picture to be should be. `features` are the
   * subject's patch features [1, patches, C]. Throws when label or prompt breaks its bounds.
   */
  contextEmbedding(request: ContextRequest, signal?: AbortSignal): Promise<FloatTensor>
}

export interface ContextRequest {
  readonly features: FloatTensor
  readonly label: string
  readonly prompt: string
}

export function createContext(pool: NetworkPool, decoder: Recipe, tokenizer: LlamaTokenizer): Context {
  return {
    async contextEmbedding({ features, label, prompt }, signal) {
      signal?.throwIfAborted()
      const { before, after } = encodeInstruction(tokenizer, label, prompt, features.shape[1]!)
      const feeds = {
        features,
        ids_before: intTensor([1, before.length], before),
        ids_after: intTensor([1, after.length], after),
      }
      const { context_embedding: embedding } = await pool.with(decoder, (network) => network.run(feeds))
      if (embedding?.dtype !== 'float32') throw new TypeError(`${decoder.name}: no context embedding`)
      return embedding
    },
  }
}
