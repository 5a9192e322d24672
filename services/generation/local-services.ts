import { createContext } from '../context/context.ts'
import { readLlamaConfig } from '../context/llama.ts'
import { contextRecipe } from '../context/networks.ts'
import { readClipTextConfig } from '../denoise/clip-text.ts'
import { createDenoiser } from '../denoise/denoiser.ts'
import * as denoise from '../denoise/networks.ts'
import { readUNetConfig } from '../denoise/unet.ts'
import { readVaeConfig } from '../denoise/vae.ts'
import { type Bundle, networkFiles } from '../lib/bundles/bundles.ts'
import type { NetworkName } from '../lib/bundles/manifest.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openClipTokenizer } from '../lib/tokenizers/clip.ts'
import { openLlamaTokenizer } from '../lib/tokenizers/llama.ts'
import type { WeightFiles } from '../lib/weights/open-weights.ts'
import { readClipVisionConfig } from '../vision/clip-vision.ts'
import * as vision from '../vision/networks.ts'
import { createVision } from '../vision/vision.ts'
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
  const { networks, tokenizers, settings } = bundle.manifest
  const at = (name: NetworkName) => `bundle ${bundle.manifest.name}, network ${name}`
  const files = async (name: NetworkName, prefix = ''): Promise<WeightFiles> => {
    const network = networks[name]
    const parts = [network?.prefix ?? '', prefix].filter((part) => part !== '')
    return { files: await networkFiles(bundle, name), prefix: parts.join('.'), compute: computeOf(network?.compute) }
  }

  const clipVision = readClipVisionConfig(networks.clipVision.config, at('clipVision'))
  const unetConfig = readUNetConfig(networks.unet.config, at('unet'))
  const vaeConfig = readVaeConfig(networks.vae.config, at('vae'))
  const embeddingChannels = publishedConfig(networks.imageProjection.config, at('imageProjection')).size(
    'clip_embeddings_dim',
  )
  const [unet, adapters, vae] = await Promise.all([files('unet'), files('adapters'), files('vae')])

  const embeddingTower = networks.vitH && {
    recipe: vision.imageEmbeddingRecipe(
      await files('vitH'),
      readClipVisionConfig(networks.vitH.config, at('vitH')),
      embeddingChannels,
    ),
    imageSizePx: readClipVisionConfig(networks.vitH.config, at('vitH')).imageSize,
  }
  const contextConfig = {
    ...readLlamaConfig(networks.decoder.config, at('decoder')),
    featureChannels: clipVision.width,
    mapping: networks.mapping.kind,
    embeddingChannels,
  }
  const ipAdapter = networks.ipAdapter && {
    projection: await files('ipAdapter', 'image_proj'),
    attentions: await files('ipAdapter', 'ip_adapter'),
    embeddingChannels,
  }
  const moma = { projection: await files('imageProjection'), attentions: adapters, embeddingChannels }

  const patchFeatures = vision.patchFeaturesRecipe(await files('clipVision'), clipVision)
  const decoder = contextRecipe(await files('decoder'), await files('mapping'), contextConfig)
  const denoising = {
    text: denoise.textRecipe(await files('clipText'), readClipTextConfig(networks.clipText.config, at('clipText'))),
    vaeEncoder: denoise.vaeEncoderRecipe(vae, vaeConfig),
    vaeDecoder: denoise.vaeDecoderRecipe(vae, vaeConfig),
    subject: denoise.subjectRecipe(unet, adapters, unetConfig),
    conditions: {
      moma: denoise.conditionRecipe(unet, moma, unetConfig),
      'ip-adapter': ipAdapter ? denoise.conditionRecipe(unet, ipAdapter, unetConfig) : null,
    },
    step: denoise.stepRecipe(unet, adapters, unetConfig),
  }
  const { conditions, ...others } = denoising
  const all = [patchFeatures, embeddingTower?.recipe, decoder, ...Object.values(others), ...Object.values(conditions)]

  return {
    latentChannels: unetConfig.latentChannels,
    networks: all.filter((recipe) => recipe !== null && recipe !== undefined),
    vision: createVision(pool, {
      patchFeatures: { recipe: patchFeatures, imageSizePx: clipVision.imageSize },
      imageEmbedding: embeddingTower ?? null,
    }),
    context: createContext(pool, decoder, await openLlamaTokenizer(`${bundle.folder}/${tokenizers.llama.folder}`)),
    denoiser: createDenoiser(
      pool,
      denoising,
      {
        levels: unetConfig.channels.length,
        latentChannels: unetConfig.latentChannels,
        scalingFactor: vaeConfig.scalingFactor,
        subjectTokenRule: settings.subjectTokens === 'firstOfWord' ? 'first-token' : 'all-tokens',
      },
      await openClipTokenizer(`${bundle.folder}/${tokenizers.clip.folder}`),
    ),
  }
}

function computeOf(compute: 'float32' | 'float16' | 'bfloat16' | undefined): 'float32' | 'float16' {
  if (compute === 'bfloat16') throw new RangeError('compute is bfloat16, allowed is float32 or float16')
  return compute ?? 'float32'
}
