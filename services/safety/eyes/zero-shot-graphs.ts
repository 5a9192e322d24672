import { type ClipTextConfig, clipText } from '../../denoise/clip-text.ts'
import { build, type Graph } from '../../lib/graph/build.ts'
import { cast } from '../../lib/graph/ops/elementwise.ts'
import { reshape } from '../../lib/graph/ops/layout.ts'
import { matmul } from '../../lib/graph/ops/matrix.ts'
import { input } from '../../lib/graph/value.ts'
import { linearNoBias } from '../../lib/nn/linear.ts'
import type { Recipe } from '../../lib/runtime/recipe.ts'
import { openWeights, type WeightFiles } from '../../lib/weights/open-weights.ts'
import type { Weights } from '../../lib/weights/weights.ts'

const module = import.meta.url

/**
 * transformers CLIPModel.get_text_features: graph `ids` [batch, tokens] (int64), `eos` [batch, 1, tokens] (1 at the end
 * token, else 0) → `embedding` [batch, `projection`], float32.
 */
export function textEmbeddingGraph(w: Weights, c: ClipTextConfig, projection: number): Graph {
  const ids = input('ids', 'int64', ['batch', c.tokens])
  const eos = input('eos', 'float32', ['batch', 1, c.tokens])
  const states = clipText(w.at('text_model'), ids, c)
  const pooled = reshape(matmul(cast(eos, w.compute), states), ['batch', c.width])
  const embedding = linearNoBias(w.at('text_projection'), pooled, projection)
  return build('text-embedding', [ids, eos], { embedding: cast(embedding, 'float32') })
}

export function textEmbeddingRecipe(weights: WeightFiles, config: ClipTextConfig, projection: number): Recipe {
  return { name: 'zero-shot text', module, builder: buildTextEmbedding.name, args: [weights, config, projection] }
}

export function buildTextEmbedding(weights: WeightFiles, config: ClipTextConfig, projection: number): Graph {
  return textEmbeddingGraph(openWeights(weights), config, projection)
}
