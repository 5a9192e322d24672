import { openContext } from '../context/open.ts'
import { openDrawing } from '../denoise/open.ts'
import type { Bundle } from '../lib/bundles/bundles.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openVision } from '../vision/open.ts'
import type { Services } from './pipeline.ts'

export interface LocalServices extends Services {
  readonly latentChannels: number
  /** All that they may use. */
  readonly networks: readonly Recipe[]
}

/**
 * The services over a bundle's own files, in this process; networks are opened by `pool` when first used. Throws a
 * BundleError where files are missing and a RangeError on a config that does not fit.
 */
export async function openLocalServices(bundle: Bundle, pool: NetworkPool): Promise<LocalServices> {
  const [{ vision, ...eyes }, { context, ...reader }, { drawing, latentChannels, ...painter }] = await Promise.all([
    openVision(bundle, pool),
    openContext(bundle, pool),
    openDrawing(bundle, pool),
  ])
  const networks = [...eyes.networks, ...reader.networks, ...painter.networks]
  return { vision, context, drawing, latentChannels, networks }
}
