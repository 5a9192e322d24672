import { drawingRecipes } from '../services/denoise/recipes.ts'
import type { Bundle } from '../services/lib/bundles/bundles.ts'
import type { NetworkPool } from '../services/lib/runtime/pool.ts'
import type { Recipe } from '../services/lib/runtime/recipe.ts'
import { openVision } from '../services/vision/open.ts'

/**
 * The networks to open before a bundle's tokenizers are: the step, which takes longest, and what finds the thing in its
 * photo, which is needed first. None where they can't be said: what is wrong is said when all of the bundle is opened.
 */
export async function firstNetworks(bundle: Bundle, pool: NetworkPool, segments: boolean): Promise<readonly Recipe[]> {
  try {
    const { step } = (await drawingRecipes(bundle)).recipes
    const { segmentation } = (await openVision(bundle, pool)).recipes
    return segments && segmentation ? [step, segmentation] : [step]
  } catch {
    return []
  }
}
