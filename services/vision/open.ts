import type { Bundle } from '../lib/bundles/bundles.ts'
import { embeddingChannels, networkPlace, weightFiles } from '../lib/bundles/weight-files.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { readClipVisionConfig } from './clip-vision.ts'
import { imageEmbeddingRecipe, patchFeaturesRecipe, segmentationRecipe } from './networks.ts'
import { readSegmentationConfig } from './segmentation.ts'
import { createVision, type Vision } from './vision.ts'

export interface OpenedVision {
  readonly vision: Vision
  readonly recipes: Readonly<Record<'patchFeatures' | 'imageEmbedding' | 'segmentation', Recipe | null>>
  /** All that it may use. */
  readonly networks: readonly Recipe[]
}

/** The vision of a bundle's files; `pool` opens its networks when they are first used. Throws as `weightFiles` does. */
export async function openVision(bundle: Bundle, pool: NetworkPool): Promise<OpenedVision> {
  const { clipVision, vitH, segmentation } = bundle.manifest.networks
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
  const segmentationConfig =
    segmentation && readSegmentationConfig(segmentation.config, networkPlace(bundle, 'segmentation'))
  const segmenter = segmentationConfig
    ? {
        recipe: segmentationRecipe(await weightFiles(bundle, 'segmentation'), segmentationConfig),
        imageSizePx: segmentationConfig.imageSize,
      }
    : null
  const recipes = {
    patchFeatures: patchFeatures.recipe,
    imageEmbedding: imageEmbedding?.recipe ?? null,
    segmentation: segmenter?.recipe ?? null,
  }
  return {
    vision: createVision(pool, { patchFeatures, imageEmbedding, segmentation: segmenter }),
    recipes,
    networks: Object.values(recipes).filter((recipe) => recipe !== null),
  }
}
