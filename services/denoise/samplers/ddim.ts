import { dataPrediction } from './data-prediction.ts'
import { checkSteps, leadingTimesteps, noiseLevel, trainingTimesteps } from './noise-schedule.ts'
import type { Sampler } from './sampler.ts'
import { checkStepInput } from './step-input.ts'

/** 1000 steps would begin at timestep 1000, which was never trained. */
const mostSteps = trainingTimesteps - 1

/**
 * DDIM with η = 0 (Song et al. 2021, https://arxiv.org/abs/2010.02502, eq. 12), as diffusers' DDIMScheduler with
 * `steps_offset` 1, `set_alpha_to_one` false, `clip_sample` false and `leading` spacing; its state is always empty.
 * Throws a RangeError unless steps is an integer from 1 to 999.
 */
export function createDdim(steps: number): Sampler {
  checkSteps('ddim', steps, mostSteps)
  const stride = Math.floor(trainingTimesteps / steps)
  const timesteps = leadingTimesteps(steps, stride, 1)
  return {
    name: 'ddim',
    timesteps,
    step(index, latents, epsilon, state) {
      checkStepInput(steps, index, latents, epsilon, state, [])
      const timestep = timesteps[index]!
      const from = noiseLevel(timestep)
      // The last step ends at timestep 0, not at the data: `set_alpha_to_one` is false.
      const to = noiseLevel(Math.max(timestep - stride, 0))
      const data = dataPrediction(from, latents, epsilon)
      const next = new Float32Array(latents.length)
      for (let i = 0; i < next.length; i++) next[i] = to.alpha * data[i]! + to.sigma * epsilon[i]!
      return { latents: next, dataPrediction: data, state: {} }
    },
  }
}

/**
 * The forward process: noiseless latents with noise of the same length mixed in as at a training timestep, 0 … 999.
 * Throws a RangeError on another timestep or another length of the noise.
 */
export function addNoise(latents: Float32Array, noise: Float32Array, timestep: number): Float32Array {
  const { alpha, sigma } = noiseLevel(timestep)
  if (noise.length !== latents.length) {
    throw new RangeError(`noise must have the ${latents.length} values of the latents, got ${noise.length}`)
  }
  return latents.map((value, i) => alpha * value + sigma * noise[i]!)
}
