import type { Bundle } from '../lib/bundles/bundles.ts'
import { embeddingChannels, networkPlace, weightFiles } from '../lib/bundles/weight-files.ts'
import { createContentCache } from '../lib/content-cache.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { openClipTokenizer } from '../lib/tokenizers/clip.ts'
import { readClipTextConfig } from './clip-text.ts'
import { createDenoiser, type DenoiserNetworks, type Features } from './denoiser.ts'
import { createDrawing, type Drawing } from './drawing.ts'
import {
  conditionRecipe,
  stepRecipe,
  subjectRecipe,
  textRecipe,
  vaeDecoderRecipe,
  vaeEncoderRecipe,
} from './networks.ts'
import { readUNetConfig } from './unet.ts'
import { readVaeConfig } from './vae.ts'

export interface OpenedDrawing {
  readonly drawing: Drawing
  readonly latentChannels: number
  /** Channels of the context embeddings that its networks take. */
  readonly embeddingChannels: number
  readonly recipes: DenoiserNetworks
  /** All that it may use. */
  readonly networks: readonly Recipe[]
}

/** Of subject features; those of one subject are about 90 MB at 512². */
const defaultCacheBytes = 2 ** 30

/** The drawing of a bundle's files; `pool` opens its networks when they are first used. Throws as `weightFiles` does. */
export async function openDrawing(
  bundle: Bundle,
  pool: NetworkPool,
  { cacheBytes = defaultCacheBytes }: { readonly cacheBytes?: number } = {},
): Promise<OpenedDrawing> {
  const { networks, tokenizers, settings } = bundle.manifest
  const unetConfig = readUNetConfig(networks.unet.config, networkPlace(bundle, 'unet'))
  const vaeConfig = readVaeConfig(networks.vae.config, networkPlace(bundle, 'vae'))
  const textConfig = readClipTextConfig(networks.clipText.config, networkPlace(bundle, 'clipText'))
  const channels = embeddingChannels(bundle)
  const [unet, adapters, vae] = await Promise.all([
    weightFiles(bundle, 'unet'),
    weightFiles(bundle, 'adapters'),
    weightFiles(bundle, 'vae'),
  ])
  const moma = {
    projection: await weightFiles(bundle, 'imageProjection'),
    attentions: adapters,
    embeddingChannels: channels,
  }
  const ipAdapter = networks.ipAdapter && {
    projection: await weightFiles(bundle, 'ipAdapter', 'image_proj'),
    attentions: await weightFiles(bundle, 'ipAdapter', 'ip_adapter'),
    embeddingChannels: channels,
  }
  const recipes = {
    text: textRecipe(await weightFiles(bundle, 'clipText'), textConfig),
    vaeEncoder: vaeEncoderRecipe(vae, vaeConfig),
    vaeDecoder: vaeDecoderRecipe(vae, vaeConfig),
    subject: subjectRecipe(unet, adapters, unetConfig),
    conditions: {
      moma: conditionRecipe(unet, moma, unetConfig),
      'ip-adapter': ipAdapter ? conditionRecipe(unet, ipAdapter, unetConfig) : null,
    },
    step: stepRecipe(unet, adapters, unetConfig),
  }
  const denoiser = createDenoiser(
    pool,
    recipes,
    {
      levels: unetConfig.channels.length,
      latentChannels: unetConfig.latentChannels,
      scalingFactor: vaeConfig.scalingFactor,
      subjectTokenRule: settings.subjectTokens === 'firstOfWord' ? 'first-token' : 'all-tokens',
    },
    await openClipTokenizer(`${bundle.folder}/${tokenizers.clip.folder}`),
  )
  const { conditions, ...others } = recipes
  return {
    drawing: createDrawing(denoiser, {
      latentChannels: unetConfig.latentChannels,
      latentToRgb: settings.latentToRgb,
      subjectBranchBelowTimestep: settings.subjectBranchBelowTimestep,
      cache: createContentCache(cacheBytes, bytesOf),
    }),
    latentChannels: unetConfig.latentChannels,
    embeddingChannels: channels,
    recipes,
    networks: [...Object.values(others), ...Object.values(conditions).filter((recipe) => recipe !== null)],
  }
}

function bytesOf(features: Features): number {
  return Object.values(features).reduce((sum, { data }) => sum + data.byteLength, 0)
}
