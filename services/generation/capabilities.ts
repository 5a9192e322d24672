import type { Manifest } from '../lib/bundles/manifest.ts'
import { valueFor } from '../lib/mesh/fields.ts'
import type { GetCapabilitiesResponse } from '../lib/mesh/generated/moma/generation/v1/GetCapabilitiesResponse.ts'
import { maxPromptCharacters } from '../lib/tokenizers/text.ts'
import { type GenerationLimits, imageLimits } from './limits.ts'
import { methodNames, samplerNames } from './messages/names.ts'
import { type Method, methods } from './request.ts'

/** Methods that the bundle has networks for. */
export function bundleMethods({ networks }: Manifest): readonly Method[] {
  const isThere = (method: Method): boolean => {
    if (method === 'ip-adapter') return networks.vitH !== undefined && networks.ipAdapter !== undefined
    return method !== 'no-mllm' || networks.vitH !== undefined
  }
  return methods.filter(isThere)
}

/** Most pictures and most steps of a generation, as `completeRequest` has them. */
const maxCount = 8
const maxSteps = 999

export function capabilitiesMessage(
  manifest: Manifest,
  limits: GenerationLimits,
  executionProvider: string,
): GetCapabilitiesResponse {
  const { sizePx, steps, guidance, strength } = manifest.settings
  return {
    bundle: manifest.name,
    sizePx,
    samplers: Object.keys(samplerNames) as (keyof typeof samplerNames)[],
    methods: bundleMethods(manifest).map((method) => valueFor(methodNames, method)),
    maxUploadBytes: limits.maxUploadBytes,
    maxPixels: imageLimits(limits).maxPixels,
    maxPromptLength: maxPromptCharacters,
    maxCount,
    maxSteps,
    maxQueued: limits.maxQueued,
    defaults: {
      steps,
      guidance,
      strengthRecontextualize: strength.recontextualize,
      strengthRetexture: strength.retexture,
    },
    executionProvider,
    segmentation: manifest.networks.segmentation !== undefined,
  }
}
