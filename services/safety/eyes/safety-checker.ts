import { NetworkError } from '../../lib/runtime/errors.ts'
import type { NetworkPool } from '../../lib/runtime/pool.ts'
import type { Recipe } from '../../lib/runtime/recipe.ts'
import type { HostTensor } from '../../lib/runtime/tensor.ts'
import { clipPixels } from '../../vision/vision.ts'
import type { Concept, SafetyChecker } from './eyes.ts'
import { concepts, specialConcepts } from './safety-checker-graph.ts'

/** What the presence of a special concept adds to the scores of all that come after it. */
const specialAdjustment = 0.01
/** Scores are compared after rounding to three digits. */
const leastScore = 0.0005

export interface CheckerScores {
  /** Cosines less thresholds: of the three special concepts and of the seventeen that count. */
  readonly specialMargins: ArrayLike<number>
  readonly conceptMargins: ArrayLike<number>
}

/**
 * Which concepts count, as diffusers' StableDiffusionSafetyChecker decides: `adjustment` until a special concept is
 * there, then 0.01. (The published code starts at 0; more finds more, and harmless pictures with it.)
 */
export function countingConcepts({ specialMargins, conceptMargins }: CheckerScores, adjustment = 0): number[] {
  let added = adjustment
  for (let index = 0; index < specialMargins.length; index++) {
    if (specialMargins[index]! + added > leastScore) added = Math.max(added, specialAdjustment)
  }
  return Array.from({ length: conceptMargins.length }, (_, index) => index).filter(
    (index) => conceptMargins[index]! + added > leastScore,
  )
}

/** The Stable Diffusion safety checker. Throws where the network's answer is not finite. */
export function createSafetyChecker(
  pool: NetworkPool,
  { recipe, imageSizePx }: { readonly recipe: Recipe; readonly imageSizePx: number },
  adjustment: number,
): SafetyChecker {
  return {
    async check(picture, signal) {
      const pixels = await clipPixels(picture, imageSizePx)
      signal?.throwIfAborted()
      const results = await pool.with(recipe, (network) => network.run({ pixels }))
      const specialMargins = finite(recipe, results, 'specialMargins', specialConcepts)
      const conceptMargins = finite(recipe, results, 'conceptMargins', concepts)
      const cosines = finite(recipe, results, 'concepts', concepts)
      const counting = countingConcepts({ specialMargins, conceptMargins }, adjustment)
      const found = Array.from(conceptMargins, (margin, index): Concept & { readonly margin: number } => {
        const cosine = cosines[index]!
        return { index, cosine, threshold: cosine - margin, counts: counting.includes(index), margin }
      })
      return found.sort((a, b) => b.margin - a.margin)
    },
  }
}

function finite(
  recipe: Recipe,
  results: Readonly<Record<string, HostTensor>>,
  name: string,
  count: number,
): Float32Array {
  const tensor = results[name]
  if (tensor?.dtype !== 'float32' || tensor.data.length !== count) {
    throw new NetworkError(recipe.name, `${name} has not ${count} numbers`)
  }
  if (!tensor.data.every(Number.isFinite))
    throw new NetworkError(recipe.name, `${name} holds numbers that are not finite`)
  return tensor.data
}
