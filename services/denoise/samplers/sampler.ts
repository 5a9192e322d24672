import { createDdim } from './ddim.ts'
import { createDpmSolver } from './dpm-solver.ts'
import { createUniPc } from './unipc.ts'

/**
 * What a sampler keeps from one step for the next: tensors of the latents' length, by name.
 * With the latents and the index of the next step it is a whole checkpoint: a run that goes on from the three ends in
 * the same bytes.
 */
export type SamplerState = Readonly<Record<string, Float32Array>>

export interface SamplerStep {
  /** The latents of the next step; after the last step, the picture's. */
  readonly latents: Float32Array
  /** The noiseless latents that this step's ε points at: what a preview shows. */
  readonly dataPrediction: Float32Array
  /** What the next step needs beside the latents. */
  readonly state: SamplerState
}

/** Turns the model's ε into the next latents: pure numbers, no state of its own, nothing it is given is written to. */
export interface Sampler {
  readonly name: SamplerName
  /** The timestep that the model is given at each step, falling, within 1 … 999. */
  readonly timesteps: readonly number[]
  /**
   * One step: `index` counts from 0 to `timesteps.length` − 1, `latents` and `epsilon` are of any one shape and batch,
   * `state` is that of the step before ({} at the first). Same arguments, same bytes.
   * Throws a RangeError naming the index, the length or the state's tensor that does not fit.
   */
  step(index: number, latents: Float32Array, epsilon: Float32Array, state: SamplerState): SamplerStep
}

const creators = { ddim: createDdim, 'dpm-solver++': createDpmSolver, unipc: createUniPc }

export type SamplerName = keyof typeof creators

export const samplerNames: readonly string[] = Object.keys(creators)

export const isSamplerName = (name: string): name is SamplerName => Object.hasOwn(creators, name)

/**
 * The sampler of this name over Stable Diffusion's noise schedule, with diffusers' timesteps.
 * Steps are 1 … 999 with ddim and 1 … 998 with the other two: beyond, `leading` spacing leaves the trained timesteps.
 * Throws a RangeError on other steps or another name.
 */
export function createSampler(name: SamplerName, steps: number): Sampler {
  if (!isSamplerName(name)) {
    throw new RangeError(`sampler must be one of ${samplerNames.join(', ')}, got '${name}'`)
  }
  return creators[name](steps)
}
