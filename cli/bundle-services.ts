import { type LocalServices, openLocalServices } from '../services/generation/local-services.ts'
import type { Bundle } from '../services/lib/bundles/bundles.ts'
import { BundleError } from '../services/lib/bundles/errors.ts'
import type { NetworkPool } from '../services/lib/runtime/pool.ts'
import { CheckpointError } from '../services/lib/weights/tensor-entry.ts'

/** The services over a bundle's files. Whatever keeps them from opening is the bundle's: a BundleError or CheckpointError. */
export async function openBundleServices(bundle: Bundle, pool: NetworkPool): Promise<LocalServices> {
  try {
    return await openLocalServices(bundle, pool)
  } catch (error) {
    if (error instanceof BundleError || error instanceof CheckpointError) throw error
    throw new BundleError('manifest', error instanceof Error ? error.message : String(error), { cause: error })
  }
}
