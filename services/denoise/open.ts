import type { Bundle } from '../lib/bundles/bundles.ts'
import { embeddingChannels } from '../lib/bundles/weight-files.ts'
import { createContentCache } from '../lib/content-cache.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openClipTokenizer } from '../lib/tokenizers/clip.ts'
import { createDenoiser, type DenoiserNetworks, type Features } from './denoiser.ts'
import { createDrawing, type Drawing } from './drawing.ts'
import { drawingRecipes } from './recipes.ts'

export interface OpenedDrawing {
  readonly drawing: Drawing
  readonly latentChannels: number
  /** Channels of the context embeddings that its networks take. */
  readonly embeddingChannels: number
  readonly recipes: DenoiserNetworks
  /** All that it may use. */
  readonly networks: readonly Recipe[]
}

/** Of subject features; those of one subject are about 90 MB at 512². */
const defaultCacheBytes = 2 ** 30

/** The drawing of a bundle's files; `pool` opens its networks when they are first used. Throws as `weightFiles` does. */
export async function openDrawing(
  bundle: Bundle,
  pool: NetworkPool,
  { cacheBytes = defaultCacheBytes }: { readonly cacheBytes?: number } = {},
): Promise<OpenedDrawing> {
  const { tokenizers, settings } = bundle.manifest
  const { recipes, unetConfig, vaeConfig } = await drawingRecipes(bundle)
  const denoiser = createDenoiser(
    pool,
    recipes,
    {
      levels: unetConfig.channels.length,
      latentChannels: unetConfig.latentChannels,
      scalingFactor: vaeConfig.scalingFactor,
      subjectTokenRule: settings.subjectTokens === 'firstOfWord' ? 'first-token' : 'all-tokens',
    },
    await openClipTokenizer(`${bundle.folder}/${tokenizers.clip.folder}`),
  )
  const { conditions, ...others } = recipes
  return {
    drawing: createDrawing(denoiser, {
      latentChannels: unetConfig.latentChannels,
      latentToRgb: settings.latentToRgb,
      subjectBranchBelowTimestep: settings.subjectBranchBelowTimestep,
      cache: createContentCache(cacheBytes, bytesOf),
    }),
    latentChannels: unetConfig.latentChannels,
    embeddingChannels: embeddingChannels(bundle),
    recipes,
    networks: [...Object.values(others), ...Object.values(conditions).filter((recipe) => recipe !== null)],
  }
}

function bytesOf(features: Features): number {
  return Object.values(features).reduce((sum, { data }) => sum + data.byteLength, 0)
}
