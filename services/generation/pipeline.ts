import type { Context } from '../context/context.ts'
import type { DenoiseSettings, DenoiseState } from '../denoise/denoise.ts'
import { type Denoiser, startFromSeed } from '../denoise/denoiser.ts'
import type { Settings } from '../lib/bundles/manifest.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import { type LatentColours, latentsToRgb } from '../lib/images/preview.ts'
import { type FloatTensor, itemOf } from '../lib/runtime/tensor.ts'
import type { Vision } from '../vision/vision.ts'
import { type ContentCache, contentHash } from './content-cache.ts'
import { type CompleteRequest, checkWhole } from './request.ts'
import type { Subject } from './subject.ts'

/** The services that a generation is walked through: in this process, or clients of theirs. */
export interface Services {
  readonly vision: Vision
  readonly context: Context
  readonly denoiser: Denoiser
}

export type Stage = 'VISION' | 'CONTEXT' | 'DENOISE' | 'DECODE'

export type GenerationEvent =
  | { readonly kind: 'stage'; readonly stage: Stage }
  /** The end of the text that the text encoder does not see. */
  | { readonly kind: 'truncated'; readonly text: string }
  | {
      readonly kind: 'step'
      readonly step: number
      readonly steps: number
      /** What each image is becoming. */
      readonly previews: readonly RgbImage[]
      /** How the previews were made: a pixel a latent by a linear map, or the whole picture by the VAE. */
      readonly previewKind: 'latents' | 'decoded'
      /** The subject's mask of each image, a pixel a latent. */
      readonly masks: readonly GreyImage[]
      /** What the generation can go on from. */
      readonly state: DenoiseState
    }
  | {
      readonly kind: 'image'
      readonly index: number
      readonly seed: number
      readonly image: RgbImage
      readonly mask: GreyImage
    }

export interface GenerateOptions {
  readonly signal?: AbortSignal
  /** Goes on from this state of the same request; it ends in the same pictures. */
  readonly resume?: DenoiseState
  /**
   * Every so many steps the previews are decoded by the VAE, but after the last step, which the pictures follow; 0 (the
   * default): never. Pictures and states are the same with and without. The generation throws InvalidInput for anything
   * but a whole number from 0 to 1000.
   */
  readonly decodePreviewEverySteps?: number
}

export interface Pipeline {
  generate(subject: Subject, request: CompleteRequest, options?: GenerateOptions): AsyncGenerator<GenerationEvent>
}

/** `latentChannels` of the bundle's VAE; `cache` keeps what other prompts or seeds of a subject need again. */
export function createPipeline(
  services: Services,
  settings: Settings,
  latentChannels: number,
  cache: ContentCache,
): Pipeline {
  const { vision, context, denoiser } = services

  const cached = async (key: readonly string[], make: () => Promise<FloatTensor>): Promise<FloatTensor> => {
    const { only } = await cache.get(contentHash(...key), async () => ({ only: await make() }))
    return only!
  }

  /** What stands for the picture to be [1, E]. */
  const contextEmbedding = async (subject: Subject, { method, prompt }: CompleteRequest): Promise<FloatTensor> => {
    const { contentHash: photo, label } = subject
    if (method === 'ip-adapter')
      return cached(['photo embedding', photo], () => vision.imageEmbedding(subject.reference))
    if (method === 'no-mllm') return cached(['subject embedding', photo], () => vision.imageEmbedding(subject.onWhite))
    const features = await cached(['patch features', photo], () => vision.patchFeatures(subject.onWhite))
    return cached(['context', photo, label, prompt], () => context.contextEmbedding({ features, label, prompt }))
  }

  return {
    async *generate(subject, request, { signal, resume, decodePreviewEverySteps = 0 } = {}) {
      checkWhole('decodePreviewEverySteps', decodePreviewEverySteps, 0, 1000)
      yield { kind: 'stage', stage: 'VISION' }
      signal?.throwIfAborted()
      const subjectFeatures = await cache.get(contentHash('subject features', subject.contentHash, subject.label), () =>
        denoiser.subjectFeatures({ reference: subject.reference, mask: subject.mask, label: subject.label }),
      )

      signal?.throwIfAborted()
      yield { kind: 'stage', stage: 'CONTEXT' }
      const embedding = await contextEmbedding(subject, request)
      signal?.throwIfAborted()
      const conditions = await denoiser.conditions({
        subject: subjectFeatures,
        contextEmbedding: embedding,
        adapter: request.method === 'ip-adapter' ? 'ip-adapter' : 'moma',
        label: subject.label,
        prompt: request.prompt,
        negativePrompt: request.negativePrompt,
      })
      if (conditions.truncated !== null) yield { kind: 'truncated', text: conditions.truncated }

      yield { kind: 'stage', stage: 'DENOISE' }
      const { widthPx, heightPx } = subject.reference
      let state = resume ?? startFromSeed(request.seed, request.count, latentChannels, heightPx, widthPx)
      for await (const step of denoiser.steps(conditions, denoiseSettings(request, settings), state, signal)) {
        const { prediction, ...next } = step
        state = next
        const isTurn = decodePreviewEverySteps > 0 && step.step % decodePreviewEverySteps === 0
        const decoded = isTurn && step.step < request.steps
        if (decoded) signal?.throwIfAborted()
        yield {
          kind: 'step',
          step: step.step,
          steps: request.steps,
          previews: decoded
            ? await denoiser.decode(prediction)
            : imagesOf(prediction).map((latents) => preview(latents, settings)),
          previewKind: decoded ? 'decoded' : 'latents',
          masks: imagesOf(step.mask).map(maskImage),
          state,
        }
      }

      yield { kind: 'stage', stage: 'DECODE' }
      for (const [index, latents] of imagesOf(state.latents).entries()) {
        signal?.throwIfAborted()
        const [image] = await denoiser.decode(latents)
        const mask = maskImage(itemOf(state.mask, index))
        yield { kind: 'image', index, seed: request.seed + index, image: image!, mask }
      }
    },
  }
}

/** The switches of the baselines and ablations: all run through the same graphs. */
export function denoiseSettings(request: CompleteRequest, settings: Settings): DenoiseSettings {
  const { method, sampler, steps, guidance, strength } = request
  return {
    sampler,
    steps,
    guidance,
    strength: method === 'ip-adapter' || method === 'no-subject' ? 0 : strength,
    contextScale: method === 'ip-adapter' ? settings.ipAdapterScale : 1,
    masking: method !== 'ip-adapter' && method !== 'no-mask',
    subjectBranchBelowTimestep: settings.subjectBranchBelowTimestep,
  }
}

function imagesOf(tensor: FloatTensor): FloatTensor[] {
  return Array.from({ length: tensor.shape[0]! }, (_, index) => itemOf(tensor, index))
}

/** The manifest has a row of colours for every latent channel, the picture wants a row of channels for every colour. */
function preview({ shape, data }: FloatTensor, { latentToRgb }: Settings): RgbImage {
  const [, , heightPx, widthPx] = shape
  const row = (colour: number) => latentToRgb.factors.map((factors) => factors[colour]!)
  const [red = 0, green = 0, blue = 0] = latentToRgb.bias ?? []
  const colours: LatentColours = { factors: [row(0), row(1), row(2)], bias: [red, green, blue] }
  return latentsToRgb(data, { widthPx: widthPx!, heightPx: heightPx! }, colours)
}

function maskImage({ shape, data }: FloatTensor): GreyImage {
  const [, , heightPx, widthPx] = shape
  return { widthPx: widthPx!, heightPx: heightPx!, pixels: Uint8Array.from(data, (share) => Math.round(255 * share)) }
}
