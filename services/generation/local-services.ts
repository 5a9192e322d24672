import { createContext } from '../context/context.ts'
import { readLlamaConfig } from '../context/llama.ts'
import { contextRecipe } from '../context/networks.ts'
import { readClipTextConfig } from '../denoise/clip-text.ts'
import { createDenoiser } from '../denoise/denoiser.ts'
import * as denoise from '../denoise/networks.ts'
import { readUNetConfig } from '../denoise/unet.ts'
import { readVaeConfig } from '../denoise/vae.ts'
import type { Bundle } from '../lib/bundles/bundles.ts'
import { embeddingChannels, featureChannels, networkPlace, weightFiles } from '../lib/bundles/weight-files.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import { openClipTokenizer } from '../lib/tokenizers/clip.ts'
import { openLlamaTokenizer } from '../lib/tokenizers/llama.ts'
import { openVision } from '../vision/open.ts'
import type { Services } from './pipeline.ts'

export interface LocalServices extends Services {
  readonly latentChannels: number
}

/**
 * The services over a bundle's own files, in this process; networks are opened by `pool` when first used. Throws a
 * BundleError where files are missing and a RangeError on a config that does not fit.
 */
export async function openLocalServices(bundle: Bundle, pool: NetworkPool): Promise<LocalServices> {
  const { networks, tokenizers, settings } = bundle.manifest
  const at = (name: keyof typeof networks) => networkPlace(bundle, name)
  const files = (name: keyof typeof networks, prefix?: string) => weightFiles(bundle, name, prefix)

  const unetConfig = readUNetConfig(networks.unet.config, at('unet'))
  const vaeConfig = readVaeConfig(networks.vae.config, at('vae'))
  const channels = embeddingChannels(bundle)
  const [unet, adapters, vae] = await Promise.all([files('unet'), files('adapters'), files('vae')])

  const { vision } = await openVision(bundle, pool)
  const contextConfig = {
    ...readLlamaConfig(networks.decoder.config, at('decoder')),
    featureChannels: featureChannels(bundle),
    mapping: networks.mapping.kind,
    embeddingChannels: channels,
  }
  const ipAdapter = networks.ipAdapter && {
    projection: await files('ipAdapter', 'image_proj'),
    attentions: await files('ipAdapter', 'ip_adapter'),
    embeddingChannels: channels,
  }
  const moma = { projection: await files('imageProjection'), attentions: adapters, embeddingChannels: channels }

  return {
    latentChannels: unetConfig.latentChannels,
    vision,
    context: createContext(
      pool,
      contextRecipe(await files('decoder'), await files('mapping'), contextConfig),
      await openLlamaTokenizer(`${bundle.folder}/${tokenizers.llama.folder}`),
    ),
    denoiser: createDenoiser(
      pool,
      {
        text: denoise.textRecipe(await files('clipText'), readClipTextConfig(networks.clipText.config, at('clipText'))),
        vaeEncoder: denoise.vaeEncoderRecipe(vae, vaeConfig),
        vaeDecoder: denoise.vaeDecoderRecipe(vae, vaeConfig),
        subject: denoise.subjectRecipe(unet, adapters, unetConfig),
        conditions: {
          moma: denoise.conditionRecipe(unet, moma, unetConfig),
          'ip-adapter': ipAdapter ? denoise.conditionRecipe(unet, ipAdapter, unetConfig) : null,
        },
        step: denoise.stepRecipe(unet, adapters, unetConfig),
      },
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
