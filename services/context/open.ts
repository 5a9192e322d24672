import type { Bundle } from '../lib/bundles/bundles.ts'
import { embeddingChannels, featureChannels, networkPlace, weightFiles } from '../lib/bundles/weight-files.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openLlamaTokenizer } from '../lib/tokenizers/llama.ts'
import { type Context, createContext } from './context.ts'
import { readLlamaConfig } from './llama.ts'
import { contextRecipe } from './networks.ts'

export interface OpenedContext {
  readonly context: Context
  /** All that it may use. */
  readonly networks: readonly Recipe[]
}

/** The MLLM of a bundle's files; `pool` opens it when it is first used. Throws as `weightFiles` does. */
export async function openContext(bundle: Bundle, pool: NetworkPool): Promise<OpenedContext> {
  const { networks, tokenizers } = bundle.manifest
  const config = {
    ...readLlamaConfig(networks.decoder.config, networkPlace(bundle, 'decoder')),
    featureChannels: featureChannels(bundle),
    mapping: networks.mapping.kind,
    embeddingChannels: embeddingChannels(bundle),
  }
  const recipe = contextRecipe(await weightFiles(bundle, 'decoder'), await weightFiles(bundle, 'mapping'), config)
  const tokenizer = await openLlamaTokenizer(`${bundle.folder}/${tokenizers.llama.folder}`)
  return { context: createContext(pool, recipe, tokenizer), networks: [recipe] }
}
