import type { Graph } from '../lib/graph/build.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openWeights, type WeightFiles } from '../lib/weights/open-weights.ts'
import { type ContextConfig, contextGraph } from './context-graph.ts'

/** Projector, decoder and mapping as one network; `llava` is the root of the LLaVA checkpoint. */
export function contextRecipe(llava: WeightFiles, mapping: WeightFiles, config: ContextConfig): Recipe {
  return {
    name: 'multimodal decoder',
    module: import.meta.url,
    builder: buildContext.name,
    args: [llava, mapping, config],
  }
}

export function buildContext(llava: WeightFiles, mapping: WeightFiles, config: ContextConfig): Graph {
  return contextGraph(openWeights(llava), openWeights(mapping), config)
}
