import type { Bundle } from '../lib/bundles/bundles.ts'
import { embeddingChannels, networkPlace, weightFiles } from '../lib/bundles/weight-files.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { readClipVisionConfig } from './clip-vision.ts'
import { imageEmbeddingRecipe, patchFeaturesRecipe } from './networks.ts'
import { createVision, type Vision } from './vision.ts'

export interface OpenedVision {
  readonly vision: Vision
  /** All that it may use. */
  readonly networks: readonly Recipe[]
}

/** The vision of a bundle's files; `pool` opens its networks when they are first used. Throws as `weightFiles` does. */
export async function openVision(bundle: Bundle, pool: NetworkPool): Promise<OpenedVision> {
  const { clipVision, vitH } = bundle.manifest.networks
  const clipConfig = readClipVisionConfig(clipVision.config, networkPlace(bundle, 'clipVision'))
  const patchFeatures = {
    recipe: patchFeaturesRecipe(await weightFiles(bundle, 'clipVision'), clipConfig),
    imageSizePx: clipConfig.imageSize,
  }
  const vitHConfig = vitH && readClipVisionConfig(vitH.config, networkPlace(bundle, 'vitH'))
  const imageEmbedding = vitHConfig
    ? {
        recipe: imageEmbeddingRecipe(await weightFiles(bundle, 'vitH'), vitHConfig, embeddingChannels(bundle)),
        imageSizePx: vitHConfig.imageSize,
      }
    : null
  return {
    vision: createVision(pool, { patchFeatures, imageEmbedding }),
    networks: [patchFeatures, ...(imageEmbedding ? [imageEmbedding] : [])].map(({ recipe }) => recipe),
  }
}
