import { openContext } from '../context/open.ts'
import { openDrawing } from '../denoise/open.ts'
import type { Bundle } from '../lib/bundles/bundles.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openVision } from '../vision/open.ts'
import type { Services } from './pipeline.ts'
import type { Method } from './request.ts'

export interface LocalServices extends Services {
  readonly latentChannels: number
  /** All that they may use. */
  readonly networks: readonly Recipe[]
  /**
   * What a picture by that method takes, in the order to open them: the step, which takes longest, then as they are
   * used. `segments`: whether the thing has to be found in the photo.
   */
  networksFor(method: Method, segments: boolean): readonly Recipe[]
}

/**
 * The services over a bundle's own files, in this process; networks are opened by `pool` when first used. Throws a
 * BundleError where files are missing and a RangeError on a config that does not fit.
 */
export async function openLocalServices(bundle: Bundle, pool: NetworkPool): Promise<LocalServices> {
  const [eyes, reader, painter] = await Promise.all([
    openVision(bundle, pool),
    openContext(bundle, pool),
    openDrawing(bundle, pool),
  ])
  return {
    vision: eyes.vision,
    context: reader.context,
    drawing: painter.drawing,
    latentChannels: painter.latentChannels,
    networks: [...eyes.networks, ...reader.networks, ...painter.networks],
    networksFor(method, segments) {
      const { step, vaeEncoder, subject, text, conditions, vaeDecoder } = painter.recipes
      const embeds = method === 'ip-adapter' || method === 'no-mllm'
      return [
        step,
        segments ? eyes.recipes.segmentation : null,
        ...(embeds ? [eyes.recipes.imageEmbedding] : [eyes.recipes.patchFeatures, ...reader.networks]),
        vaeEncoder,
        subject,
        text,
        method === 'ip-adapter' ? conditions['ip-adapter'] : conditions.moma,
        vaeDecoder,
      ].filter((recipe) => recipe !== null)
    },
  }
}
