import { publishedConfig } from '../nn/published-config.ts'
import type { WeightFiles } from '../weights/open-weights.ts'
import { type Bundle, networkFiles } from './bundles.ts'
import { type NetworkName, networkOf } from './manifest.ts'

/** What messages call a network of a bundle. */
export function networkPlace({ manifest }: Bundle, name: NetworkName): string {
  return `bundle ${manifest.name}, network ${name}`
}

/**
 * Where a network's weights lie, from `prefix` on inside what the manifest names. Throws a BundleError where files are
 * missing and a RangeError on a precision that nothing computes in.
 */
export async function weightFiles(bundle: Bundle, name: NetworkName, prefix = ''): Promise<WeightFiles> {
  const network = networkOf(bundle.manifest, name)
  const parts = [network?.prefix ?? '', prefix].filter((part) => part !== '')
  const compute = network?.compute ?? 'float32'
  if (compute === 'bfloat16') throw new RangeError('compute is bfloat16, allowed is float32 or float16')
  return { files: await networkFiles(bundle, name), prefix: parts.join('.'), compute }
}

/** Channels of the image embeddings that context embeddings stand for. */
export function embeddingChannels(bundle: Bundle): number {
  const { config } = bundle.manifest.networks.imageProjection
  return publishedConfig(config, networkPlace(bundle, 'imageProjection')).size('clip_embeddings_dim')
}

/** Channels of the patch features that the MLLM reads. */
export function featureChannels(bundle: Bundle): number {
  const { config } = bundle.manifest.networks.clipVision
  // A whole CLIP model's config holds the tower's.
  return publishedConfig(config.vision_config ?? config, networkPlace(bundle, 'clipVision')).size('hidden_size')
}
