import { NotInBundle } from '../lib/bundles/errors.ts'
import { fromDecoderPlanes, toEncoderPlanes, toMaskPlane } from '../lib/images/geometry.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import { resizeNearest } from '../lib/images/resize.ts'
import type { Network } from '../lib/runtime/network.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { type FloatTensor, floatTensor, type HostTensor, intTensor, itemOf, stacked } from '../lib/runtime/tensor.ts'
import type { ClipTokenizer } from '../lib/tokenizers/clip.ts'
import { type DenoiseSettings, type DenoiseState, type DenoiseStep, denoise, initialState } from './denoise.ts'
import { foregroundTokens } from './foreground.ts'
import { createTorchGenerator } from './noise/torch-generator.ts'
import { addNoise } from './samplers/ddim.ts'
import { type SubjectTokenRule, subjectPrompt, subjectTokenPositions } from './subject-tokens.ts'

/** What the denoising service does. In this process or behind gRPC, it is the same. */
export interface Denoiser {
  /** Keys and values of the subject by the `step` graph's names; they serve every prompt and seed. */
  subjectFeatures(request: SubjectRequest): Promise<Features>
  /** Text, context and subject of one request, ready for the steps. Throws when the label is not among the text's tokens. */
  conditions(request: ConditionRequest): Promise<Conditioned>
  /** Steps to the end; see `denoise`. */
  steps(
    conditioned: Conditioned,
    settings: DenoiseSettings,
    state: DenoiseState,
    signal?: AbortSignal,
  ): AsyncGenerator<DenoiseStep>
  /** Pictures of latents [n, 4, h, w], 8h × 8w pixels each. */
  decode(latents: FloatTensor): Promise<RgbImage[]>
}

export type Features = Readonly<Record<string, FloatTensor>>

export interface SubjectRequest {
  /** The photo at the working size: a square whose side 64 divides. */
  readonly reference: RgbImage
  /** 255 where the subject is, of the same size. */
  readonly mask: GreyImage
  readonly label: string
}

export interface ConditionRequest {
  readonly subject: Features
  /** [1, E]. */
  readonly contextEmbedding: FloatTensor
  /** Whose image projection and attention maps read the embedding. */
  readonly adapter: 'moma' | 'ip-adapter'
  readonly label: string
  readonly prompt: string
  /** '' for none. */
  readonly negativePrompt: string
}

export interface Conditioned {
  readonly features: Features
  readonly subjectTokens: FloatTensor
  /** The end of the text that did not fit, or null. */
  readonly truncated: string | null
}

export interface DenoiserNetworks {
  readonly text: Recipe
  readonly vaeEncoder: Recipe
  readonly vaeDecoder: Recipe
  readonly subject: Recipe
  readonly conditions: { readonly moma: Recipe; readonly 'ip-adapter': Recipe | null }
  readonly step: Recipe
}

export interface DenoiserConfig {
  readonly levels: number
  readonly latentChannels: number
  readonly scalingFactor: number
  readonly subjectTokenRule: SubjectTokenRule
}

/**
 * In the subject pass the released code reads the last 4 of its 77 text tokens as image tokens and leaves them out of
 * the text; the weights were trained with that, so it stays.
 */
const tokensLeftOut = 4

/** Seed of the subject pass's noise: fixed, so that its features depend on photo, mask and noun alone. */
const subjectSeed = 0

export function createDenoiser(
  pool: NetworkPool,
  networks: DenoiserNetworks,
  config: DenoiserConfig,
  tokenizer: ClipTokenizer,
): Denoiser {
  const runOnce = (recipe: Recipe, feeds: Record<string, HostTensor>) =>
    pool.with(recipe, (network) => run(network, feeds))

  const textStates = async (texts: readonly string[]): Promise<FloatTensor> => {
    const ids = texts.flatMap((text) => tokenizer.encode(text).ids)
    const { states } = await runOnce(networks.text, { ids: intTensor([texts.length, tokenizer.length], ids) })
    return states!
  }

  return {
    async subjectFeatures({ reference, mask, label }) {
      const latents = await encodeReference(runOnce, networks.vaeEncoder, reference, config.scalingFactor)
      const [, , height, width] = latents.shape
      const small = resizeNearest(mask, width!, height!)
      const foreground = foregroundTokens(toMaskPlane(small), height!, width!, config.levels)
      const states = await textStates([label])
      const [, tokens, channels] = states.shape
      const kept = tokens! - tokensLeftOut
      const text = { ...states, shape: [1, kept, channels!], data: states.data.subarray(0, kept * channels!) }
      const places = Object.fromEntries(foreground.map((tensor, level) => [`foreground.${level}`, tensor]))
      return runOnce(networks.subject, { latents, text, ...places })
    },

    async conditions({ subject, contextEmbedding, adapter, label, prompt, negativePrompt }) {
      const recipe = networks.conditions[adapter]
      if (!recipe) throw new NotInBundle(`this bundle has no weights for ${adapter}`)
      const text = subjectPrompt(label, prompt)
      // The encoder is at work while the rest is made ready.
      const encoding = textStates([negativePrompt, text])
      encoding.catch(() => undefined)
      const subjectTokens = floatTensor([tokenizer.length])
      for (const position of subjectTokenPositions(tokenizer, label, text, config.subjectTokenRule)) {
        subjectTokens.data[position] = 1
      }
      const nothing = floatTensor(contextEmbedding.shape)
      const features = await runOnce(recipe, {
        text: await encoding,
        context_embedding: stacked([nothing, contextEmbedding]),
      })
      return { features: { ...subject, ...features }, subjectTokens, truncated: tokenizer.encode(text).truncated }
    },

    async *steps(conditioned, settings, state, signal) {
      // The pool lends a network for the length of a call, and a generator may rest between two steps for as long as
      // its consumer likes: each step borrows it anew.
      yield* denoise(
        async (feeds) => {
          const { epsilon, next_mask: mask } = await runOnce(networks.step, feeds)
          return { epsilon: epsilon!, mask: mask! }
        },
        conditioned,
        settings,
        state,
        signal,
      )
    },

    async decode(latents) {
      const [images, , height, width] = latents.shape
      const pictures: RgbImage[] = []
      // One at a time: the decoder's activations are the largest of all networks'.
      for (let index = 0; index < images!; index++) {
        const one = itemOf(latents, index)
        const unscaled = floatTensor(
          one.shape,
          one.data.map((number) => number / config.scalingFactor),
        )
        const { pictures: planes } = await runOnce(networks.vaeDecoder, { latents: unscaled })
        pictures.push(fromDecoderPlanes(planes!.data, { widthPx: width! * 8, heightPx: height! * 8 }))
      }
      return pictures
    },
  }
}

/** The noise that n images start from: image k is what torch's CPU generator gives for seed + k, so each can be made alone. */
export function startFromSeed(
  seed: number,
  images: number,
  channels: number,
  heightPx: number,
  widthPx: number,
): DenoiseState {
  const shape = [1, channels, heightPx / 8, widthPx / 8]
  const count = shape.reduce((product, size) => product * size, 1)
  const noise = Array.from({ length: images }, (_, index) =>
    floatTensor(shape, createTorchGenerator(seed + index).randn(count)),
  )
  return initialState(stacked(noise))
}

/** The reference's latents [1, 4, h, w], scaled and noised for timestep 0. */
async function encodeReference(
  runOnce: (recipe: Recipe, feeds: Record<string, HostTensor>) => Promise<Features>,
  encoder: Recipe,
  reference: RgbImage,
  scalingFactor: number,
): Promise<FloatTensor> {
  const shape = [1, 3, reference.heightPx, reference.widthPx]
  const pictures = floatTensor(shape, toEncoderPlanes(reference))
  const { mean, log_variance: logVariance } = await runOnce(encoder, { pictures })
  const generator = createTorchGenerator(subjectSeed)
  const [drawn, noise] = [generator.randn(mean!.data.length), generator.randn(mean!.data.length)]
  // diffusers' DiagonalGaussianDistribution clamps the log variance to −30 … 20.
  const sample = mean!.data.map((middle, index) => {
    const deviation = Math.exp(0.5 * Math.min(Math.max(logVariance!.data[index]!, -30), 20))
    return (middle + deviation * drawn[index]!) * scalingFactor
  })
  return floatTensor(mean!.shape, addNoise(sample, noise, 0))
}

async function run(network: Network, feeds: Readonly<Record<string, HostTensor>>): Promise<Features> {
  const results = await network.run(feeds)
  const floats: Record<string, FloatTensor> = {}
  for (const [name, tensor] of Object.entries(results)) {
    if (tensor.dtype !== 'float32') throw new TypeError(`${network.name}: output '${name}' is ${tensor.dtype}`)
    floats[name] = tensor
  }
  return floats
}
