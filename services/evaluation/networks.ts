import type { Graph } from '../lib/graph/build.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openWeights, type WeightFiles } from '../lib/weights/open-weights.ts'
import { type TextEmbeddingConfig, textEmbeddingGraph } from './text-embedding.ts'

/** CLIP's text half, which says how well a picture shows what a sentence says. */
export function textEmbeddingRecipe(weights: WeightFiles, config: TextEmbeddingConfig): Recipe {
  return { name: 'CLIP texts', module: import.meta.url, builder: buildTextEmbedding.name, args: [weights, config] }
}

export function buildTextEmbedding(weights: WeightFiles, config: TextEmbeddingConfig): Graph {
  return textEmbeddingGraph(openWeights(weights), config)
}
