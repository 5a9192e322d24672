import type { Bundle } from '../lib/bundles/bundles.ts'
import { embeddingChannels, networkPlace, weightFiles } from '../lib/bundles/weight-files.ts'
import { readClipTextConfig } from './clip-text.ts'
import type { DenoiserNetworks } from './denoiser.ts'
import {
  conditionRecipe,
  stepRecipe,
  subjectRecipe,
  textRecipe,
  vaeDecoderRecipe,
  vaeEncoderRecipe,
} from './networks.ts'
import { readUNetConfig, type UNetConfig } from './unet.ts'
import { readVaeConfig, type VaeConfig } from './vae.ts'

/** What a bundle's files say of the networks that draw. */
export interface DrawingRecipes {
  readonly recipes: DenoiserNetworks
  readonly unetConfig: UNetConfig
  readonly vaeConfig: VaeConfig
}

/** The networks of a bundle's files; opens none. Throws as `weightFiles` does. */
export async function drawingRecipes(bundle: Bundle): Promise<DrawingRecipes> {
  const { networks } = bundle.manifest
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
  return { recipes, unetConfig, vaeConfig }
}
