import { type FloatTensor, floatTensor } from '../lib/runtime/tensor.ts'
import { createSampler, type SamplerName, type SamplerState } from './samplers/sampler.ts'

export interface DenoiseSettings {
  readonly sampler: SamplerName
  readonly steps: number
  /** g in ε_u + g(ε_c − ε_u). */
  readonly guidance: number
  /** β, 0 … 1.2. */
  readonly strength: number
  /** Weight of the context branch: 1 in MoMA, 0.6 in IP-Adapter. */
  readonly contextScale: number
  /** Whether the subject's mask confines subject and context branch; without it both act everywhere. */
  readonly masking: boolean
  /** The subject branch is on at timesteps below this one (950; 1000 is always). */
  readonly subjectBranchBelowTimestep: number
}

/** What all steps of a request share, by the input names of the `step` graph: both other graphs' outputs. */
export interface Conditions {
  readonly features: Readonly<Record<string, FloatTensor>>
  /** Ones at the subject's positions in the text. */
  readonly subjectTokens: FloatTensor
}

/** Everything that a run needs to go on from here; the same state ends in the same bytes. */
export interface DenoiseState {
  /** Steps done: 0 … steps. */
  readonly step: number
  /** [n, 4, h, w]. */
  readonly latents: FloatTensor
  /** The subject's mask by the last step [n, 1, h, w], 0 … 1; ones before the first. */
  readonly mask: FloatTensor
  readonly sampler: SamplerState
}

export interface DenoiseStep extends DenoiseState {
  /** The noiseless latents that this step points at [n, 4, h, w]: what a preview shows. */
  readonly prediction: FloatTensor
}

/** One run of the `step` graph: feeds by name → `epsilon`, `mask`. */
export type StepNetwork = (
  feeds: Readonly<Record<string, FloatTensor>>,
) => Promise<{ readonly epsilon: FloatTensor; readonly mask: FloatTensor }>

/** The state before the first step of n images: their noise [n, 4, h, w], no mask yet. */
export function initialState(latents: FloatTensor): DenoiseState {
  const [images, , height, width] = latents.shape
  const mask = floatTensor([images!, 1, height!, width!])
  mask.data.fill(1)
  return { step: 0, latents, mask, sampler: {} }
}

/**
 * Denoises from `state` to the end, one step an item; every item is a state that another run can go on from. The last
 * item's latents are the pictures'. Stops between steps with the signal's reason when `signal` is aborted. Throws a
 * RangeError on steps that the sampler does not have.
 */
export async function* denoise(
  network: StepNetwork,
  conditions: Conditions,
  settings: DenoiseSettings,
  state: DenoiseState,
  signal?: AbortSignal,
): AsyncGenerator<DenoiseStep> {
  const sampler = createSampler(settings.sampler, settings.steps)
  const one = (number: number) => floatTensor([1], [number])
  const everywhere = initialState(state.latents).mask
  for (let current = state; current.step < settings.steps; ) {
    signal?.throwIfAborted()
    const timestep = sampler.timesteps[current.step]!
    const { epsilon, mask } = await network({
      ...conditions.features,
      latents: current.latents,
      timestep: one(timestep),
      mask: settings.masking ? current.mask : everywhere,
      subject_tokens: conditions.subjectTokens,
      strength: one(timestep < settings.subjectBranchBelowTimestep ? settings.strength : 0),
      context_scale: one(settings.contextScale),
      guidance: one(settings.guidance),
    })
    const next = sampler.step(current.step, current.latents.data, epsilon.data, current.sampler)
    const { shape } = current.latents
    const step: DenoiseStep = {
      step: current.step + 1,
      latents: floatTensor(shape, next.latents),
      mask,
      sampler: next.state,
      prediction: floatTensor(shape, next.dataPrediction),
    }
    yield step
    current = step
  }
}
