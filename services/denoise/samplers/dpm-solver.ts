import { dataPrediction, multistep } from './data-prediction.ts'
import { multistepSchedule } from './multistep-schedule.ts'
import type { Sampler } from './sampler.ts'
import { checkStepInput } from './step-input.ts'

/**
 * DPM-Solver++ 2M (Lu et al. 2022, https://arxiv.org/abs/2211.01095), as diffusers' DPMSolverMultistepScheduler with
 * `dpmsolver++`, order 2, `midpoint`, `leading` spacing, `steps_offset` 1 and a final sigma of zero: the first and the
 * last step are of first order.
 * State after a step: `dataPrediction1`, that step's. Throws a RangeError unless steps is an integer from 1 to 998.
 */
export function createDpmSolver(steps: number): Sampler {
  const { timesteps, levels } = multistepSchedule('dpm-solver++', steps)
  return {
    name: 'dpm-solver++',
    timesteps,
    step(index, latents, epsilon, state) {
      checkStepInput(steps, index, latents, epsilon, state, index === 0 ? [] : ['dataPrediction1'])
      const level = levels[index]!
      const data = dataPrediction(level, latents, epsilon)
      const secondOrder = index > 0 && index < steps - 1
      const previous = secondOrder ? { level: levels[index - 1]!, data: state.dataPrediction1! } : undefined
      const next = multistep(levels[index + 1]!, latents, { level, data }, previous)
      return { latents: next, dataPrediction: data, state: { dataPrediction1: data } }
    },
  }
}
