import type { ContentCache } from '../lib/content-cache.ts'
import { contentHash } from '../lib/content-cache.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import { type LatentColours, latentsToRgb } from '../lib/images/preview.ts'
import { type FloatTensor, itemOf } from '../lib/runtime/tensor.ts'
import type { DenoiseSettings, DenoiseState, DenoiseStep } from './denoise.ts'
import { type ConditionRequest, type Denoiser, type Features, startFromSeed } from './denoiser.ts'

/**
 * Draws the pictures of one request: subject features, conditions, steps and decoding as one piece of work. In this
 * process or behind gRPC, it is the same.
 */
export interface Drawing {
  /**
   * What happens, in order, to the last picture. Stops between steps with the signal's reason when it is aborted.
   * Throws on a label that is not among the text's tokens, NotInBundle on weights that the bundle lacks, and a
   * RangeError on settings that don't fit.
   */
  draw(request: DrawingRequest, options?: DrawingOptions): AsyncGenerator<DrawingEvent>
}

/** Everything that decides the pictures. */
export interface DrawingRequest {
  readonly subject: {
    /** The photo at the working size: a square whose side 64 divides. */
    readonly reference: RgbImage
    /** 255 where the subject is, of the photo's size. */
    readonly mask: GreyImage
    readonly label: string
    /** `subjectHash` of photo and mask. */
    readonly contentHash: string
  }
  /** [1, E]. */
  readonly contextEmbedding: FloatTensor
  readonly adapter: ConditionRequest['adapter']
  readonly prompt: string
  /** '' for none. */
  readonly negativePrompt: string
  /** From which timestep on the subject branch is on, the bundle decides. */
  readonly settings: Omit<DenoiseSettings, 'subjectBranchBelowTimestep'>
  /** Of the first picture; picture k takes seed + k. */
  readonly seed: number
  /** 1 … 8. */
  readonly count: number
}

export interface DrawingOptions {
  readonly signal?: AbortSignal
  /** Goes on from this state of the same request; it ends in the same pictures. */
  readonly resume?: DenoiseState
  /** Tells the state after every so many steps; 0, as without it, never. */
  readonly checkpointEverySteps?: number
  /**
   * Every so many steps the previews are decoded by the VAE, but after the last step, which the pictures follow; 0, as
   * without it, they are all a pixel a latent. Pictures and states are the same with and without.
   */
  readonly decodePreviewEverySteps?: number
}

export type DrawingEvent =
  /** The end of the text that the text encoder does not see. */
  | { readonly kind: 'truncated'; readonly text: string }
  | {
      readonly kind: 'step'
      /** Steps done, from 1. */
      readonly step: number
      readonly steps: number
      /** What each picture is becoming. */
      readonly previews: readonly RgbImage[]
      /** How the previews were made: a pixel a latent by a linear map, or the whole picture by the VAE. */
      readonly previewKind: 'latents' | 'decoded'
      /** The subject's mask of each picture, a pixel a latent. */
      readonly masks: readonly GreyImage[]
    }
  /** What the request can go on from. */
  | { readonly kind: 'checkpoint'; readonly state: DenoiseState }
  | {
      readonly kind: 'image'
      readonly index: number
      readonly seed: number
      readonly image: RgbImage
      readonly mask: GreyImage
    }

export interface DrawingSettings {
  readonly latentChannels: number
  /** The manifest has a row of colours for every latent channel. */
  readonly latentToRgb: { readonly factors: readonly (readonly number[])[]; readonly bias?: readonly number[] }
  readonly subjectBranchBelowTimestep: number
  /** Keeps subject features: other prompts and seeds of a subject need them again. */
  readonly cache: ContentCache<Features>
}

export function createDrawing(denoiser: Denoiser, config: DrawingSettings): Drawing {
  const { latentChannels, latentToRgb, subjectBranchBelowTimestep, cache } = config
  return {
    async *draw(request, options = {}) {
      const { subject, contextEmbedding, adapter, prompt, negativePrompt, settings, seed, count } = request
      const { signal, resume, checkpointEverySteps = 0, decodePreviewEverySteps = 0 } = options
      const { label, reference, mask } = subject
      signal?.throwIfAborted()
      // Without the signal: what is made serves everybody who waits for it.
      const features = await cache.get(contentHash('subject features', subject.contentHash, label), () =>
        denoiser.subjectFeatures({ reference, mask, label }),
      )
      signal?.throwIfAborted()
      const making = denoiser.conditions({
        subject: features,
        contextEmbedding,
        adapter,
        label,
        prompt,
        negativePrompt,
      })
      making.catch(() => undefined)
      const { widthPx, heightPx } = reference
      // While networks are at work.
      let state = resume ?? startFromSeed(seed, count, latentChannels, heightPx, widthPx)
      const conditions = await making
      if (conditions.truncated !== null) yield { kind: 'truncated', text: conditions.truncated }

      const steps = denoiser.steps(conditions, { ...settings, subjectBranchBelowTimestep }, state, signal)
      // The denoiser goes on while what it has made is looked at and told.
      for await (const made of oneAhead(toPictures(steps, state, signal))) {
        // What was made ahead is nobody's any more.
        signal?.throwIfAborted()
        if ('image' in made) {
          const { index, image } = made
          yield { kind: 'image', index, seed: seed + index, image, mask: maskImage(itemOf(state.mask, index)) }
          continue
        }
        const { prediction, ...next } = made
        state = next
        const { step } = state
        const decoded = isTurn(step, decodePreviewEverySteps) && step < settings.steps
        const previews = decoded
          ? await denoiser.decode(prediction)
          : imagesOf(prediction).map((latents) => latentPreview(latents, latentToRgb))
        yield {
          kind: 'step',
          step,
          steps: settings.steps,
          previews,
          previewKind: decoded ? 'decoded' : 'latents',
          masks: imagesOf(state.mask).map(maskImage),
        }
        if (isTurn(step, checkpointEverySteps)) yield { kind: 'checkpoint', state }
      }
    },
  }

  /** The steps, and after the last of them the pictures. */
  async function* toPictures(
    steps: AsyncGenerator<DenoiseStep>,
    from: DenoiseState,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<DenoiseStep | { readonly index: number; readonly image: RgbImage }> {
    let { latents: last } = from
    for await (const step of steps) {
      last = step.latents
      yield step
    }
    for (const [index, latents] of imagesOf(last).entries()) {
      signal?.throwIfAborted()
      const [image] = await denoiser.decode(latents)
      yield { index, image: image! }
    }
  }
}

/** Asks for the next item before it gives one; no more than that one is made ahead. */
async function* oneAhead<T>(items: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = items.next()
  try {
    for (;;) {
      const { done, value } = await next
      if (done) return
      next = items.next()
      // Told when it is waited for, if it ever is.
      next.catch(() => undefined)
      yield value
    }
  } finally {
    // Once what is being made has come to its end.
    await items.return(undefined)
  }
}

const isTurn = (step: number, every: number) => every > 0 && step % every === 0

function imagesOf(tensor: FloatTensor): FloatTensor[] {
  return Array.from({ length: tensor.shape[0]! }, (_, index) => itemOf(tensor, index))
}

/** The picture wants a row of channels for every colour. */
function latentPreview({ shape, data }: FloatTensor, { factors, bias }: DrawingSettings['latentToRgb']): RgbImage {
  const [, , heightPx, widthPx] = shape
  const row = (colour: number) => factors.map((channel) => channel[colour]!)
  const [red = 0, green = 0, blue = 0] = bias ?? []
  const colours: LatentColours = { factors: [row(0), row(1), row(2)], bias: [red, green, blue] }
  return latentsToRgb(data, { widthPx: widthPx!, heightPx: heightPx! }, colours)
}

function maskImage({ shape, data }: FloatTensor): GreyImage {
  const [, , heightPx, widthPx] = shape
  const pixels = new Uint8Array(data.length)
  for (let i = 0; i < data.length; i++) pixels[i] = Math.round(255 * data[i]!)
  return { widthPx: widthPx!, heightPx: heightPx!, pixels }
}
