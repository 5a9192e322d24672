import {
  checkSteps,
  leadingTimesteps,
  type NoiseLevel,
  noiseLevel,
  noiseless,
  trainingTimesteps,
} from './noise-schedule.ts'

/** 999 steps would begin at timestep 1000, which was never trained; 1000 have no distance between them. */
const mostSteps = trainingTimesteps - 2

export interface MultistepSchedule {
  readonly timesteps: readonly number[]
  /** The noise level of each timestep, then the noiseless one. */
  readonly levels: readonly NoiseLevel[]
}

/**
 * The schedule of diffusers' multistep solvers with `leading` spacing, `steps_offset` 1 and a final sigma of zero.
 * They divide the training timesteps into steps + 1 parts and leave out the last, where DDIM makes `steps` parts.
 * Throws a RangeError unless steps is an integer from 1 to 998.
 */
export function multistepSchedule(sampler: string, steps: number): MultistepSchedule {
  checkSteps(sampler, steps, mostSteps)
  const stride = Math.floor(trainingTimesteps / (steps + 1))
  const timesteps = leadingTimesteps(steps, stride, stride + 1)
  return { timesteps, levels: [...timesteps.map(noiseLevel), noiseless] }
}
