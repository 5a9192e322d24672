import type { Bundle } from '../lib/bundles/bundles.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import type { Safety } from './safety.ts'
import { createWordJudge } from './words.ts'

export interface OpenedSafety {
  readonly safety: Safety
  /** All that it may use. */
  readonly networks: readonly Recipe[]
}

/** The judge of a bundle. No bundle has detectors yet: words alone are judged, whatever the bundle. */
export async function openSafety(_bundle: Bundle, _pool: NetworkPool): Promise<OpenedSafety> {
  return { safety: createWordJudge(), networks: [] }
}
