import type { Graph } from '../lib/graph/build.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openWeights, type WeightFiles } from '../lib/weights/open-weights.ts'
import { type ClipVisionConfig, imageEmbeddingGraph, patchFeaturesGraph } from './clip-vision.ts'
import { type SegmentationConfig, segmentationGraph } from './segmentation.ts'
import { type VitConfig, vitGraph } from './vit.ts'

const module = import.meta.url

/** The tower whose patch features the MLLM sees. */
export function patchFeaturesRecipe(weights: WeightFiles, config: ClipVisionConfig): Recipe {
  return { name: 'patch features', module, builder: buildPatchFeatures.name, args: [weights, config] }
}

export function buildPatchFeatures(weights: WeightFiles, config: ClipVisionConfig): Graph {
  return patchFeaturesGraph(openWeights(weights), config)
}

/** The tower whose image embedding the baselines take in the MLLM's place. */
export function imageEmbeddingRecipe(weights: WeightFiles, config: ClipVisionConfig, projection: number): Recipe {
  return { name: 'image embedding', module, builder: buildImageEmbedding.name, args: [weights, config, projection] }
}

export function buildImageEmbedding(weights: WeightFiles, config: ClipVisionConfig, projection: number): Graph {
  return imageEmbeddingGraph(openWeights(weights), config, projection)
}

/** What finds the main thing of a photo. */
export function segmentationRecipe(weights: WeightFiles, config: SegmentationConfig): Recipe {
  return { name: 'segmentation', module, builder: buildSegmentation.name, args: [weights, config] }
}

export function buildSegmentation(weights: WeightFiles, config: SegmentationConfig): Graph {
  return segmentationGraph(openWeights(weights), config)
}

/** DINO's ViT, whose class token says whether two pictures show the same thing. */
export function vitRecipe(weights: WeightFiles, config: VitConfig): Recipe {
  return { name: 'DINO', module, builder: buildVit.name, args: [weights, config] }
}

export function buildVit(weights: WeightFiles, config: VitConfig): Graph {
  return vitGraph(openWeights(weights), config)
}
