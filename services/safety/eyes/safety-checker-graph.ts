import { build, type Graph } from '../../lib/graph/build.ts'
import { cast, divide, multiply, sqrt, subtract } from '../../lib/graph/ops/elementwise.ts'
import { reshape, slice } from '../../lib/graph/ops/layout.ts'
import { matmulTransposed } from '../../lib/graph/ops/matrix.ts'
import { reduceSum } from '../../lib/graph/ops/reduction.ts'
import { input, type Value } from '../../lib/graph/value.ts'
import { linearNoBias } from '../../lib/nn/linear.ts'
import { layerNorm } from '../../lib/nn/normalization.ts'
import type { Recipe } from '../../lib/runtime/recipe.ts'
import { openWeights, type WeightFiles } from '../../lib/weights/open-weights.ts'
import type { Weights } from '../../lib/weights/weights.ts'
import { type ClipVisionConfig, clipVisionStates } from '../../vision/clip-vision.ts'

/** Concepts whose presence makes the others count sooner, and those that count. */
export const specialConcepts = 3
export const concepts = 17

const module = import.meta.url

/**
 * diffusers StableDiffusionSafetyChecker up to its cosines: graph `pixels` [batch,3,S,S], CLIP-normalised → `special`
 * [batch,3], `concepts` [batch,17] (cosines) and `specialMargins`, `conceptMargins` (cosines less their thresholds), float32.
 */
export function safetyCheckerGraph(w: Weights, c: ClipVisionConfig, projection: number): Graph {
  const pixels = input('pixels', 'float32', ['batch', 3, c.imageSize, c.imageSize])
  const embedding = unitLength(imageEmbedding(w, cast(pixels, w.compute), c, projection))
  const against = (name: string, count: number) => {
    const cosines = matmulTransposed(embedding, unitLength(w.tensor(`${name}_embeds`, [count, projection])))
    const margins = subtract(cosines, w.tensor(`${name}_embeds_weights`, [count], [1, count]))
    return { cosines: cast(cosines, 'float32'), margins: cast(margins, 'float32') }
  }
  const special = against('special_care', specialConcepts)
  const all = against('concept', concepts)
  return build('safety-checker', [pixels], {
    special: special.cosines,
    specialMargins: special.margins,
    concepts: all.cosines,
    conceptMargins: all.margins,
  })
}

function imageEmbedding(w: Weights, pixels: Value, c: ClipVisionConfig, projection: number): Value {
  // The published file holds the tower as a CLIPVisionModel inside the checker; transformers 5 saves it without that step.
  const outer = w.at('vision_model')
  const tower = outer.has('vision_model.embeddings.class_embedding') ? outer.at('vision_model') : outer
  const classToken = reshape(slice(clipVisionStates(tower, pixels, c).at(-1)!, 1, 0, 1), ['batch', c.width])
  const pooled = layerNorm(tower.at('post_layernorm'), classToken, c.epsilon)
  return linearNoBias(w.at('visual_projection'), pooled, projection)
}

/** x [n, C] → each row at length one. */
function unitLength(x: Value): Value {
  return divide(x, sqrt(reduceSum(multiply(x, x), [1])))
}

/** What the published file holds beside: a buffer of the tower. */
export const safetyCheckerUnused: readonly RegExp[] = [/\.embeddings\.position_ids$/]

export function safetyCheckerRecipe(weights: WeightFiles, config: ClipVisionConfig, projection: number): Recipe {
  return { name: 'safety checker', module, builder: buildSafetyChecker.name, args: [weights, config, projection] }
}

export function buildSafetyChecker(weights: WeightFiles, config: ClipVisionConfig, projection: number): Graph {
  return safetyCheckerGraph(openWeights(weights), config, projection)
}
