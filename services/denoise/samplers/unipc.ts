import { dataPrediction, type LeveledPrediction, multistep } from './data-prediction.ts'
import { multistepSchedule } from './multistep-schedule.ts'
import type { NoiseLevel } from './noise-schedule.ts'
import type { Sampler } from './sampler.ts'
import { checkStepInput } from './step-input.ts'

/**
 * UniPC of order 2 with B₂(h) (Zhao et al. 2023, https://arxiv.org/abs/2302.04867), as diffusers'
 * UniPCMultistepScheduler with `predict_x0`, `bh2`, `leading` spacing, `steps_offset` 1 and a final sigma of zero: every
 * step but the first corrects the latents it was given before it predicts the next; first and last step predict to
 * first order.
 * State after a step: `correctedLatents`, `dataPrediction1` (that step's) and, from the second step on,
 * `dataPrediction2` (that of the step before). Throws a RangeError unless steps is an integer from 1 to 998.
 */
export function createUniPc(steps: number): Sampler {
  const { timesteps, levels } = multistepSchedule('unipc', steps)
  return {
    name: 'unipc',
    timesteps,
    step(index, latents, epsilon, state) {
      const stateNames = ['correctedLatents', 'dataPrediction1', 'dataPrediction2'].slice(
        0,
        index === 0 ? 0 : index + 1,
      )
      checkStepInput(steps, index, latents, epsilon, state, stateNames)
      const level = levels[index]!
      const newest = { level, data: dataPrediction(level, latents, epsilon) }
      if (index === 0) {
        const next = multistep(levels[1]!, latents, newest, undefined)
        const nextState = { correctedLatents: latents.slice(), dataPrediction1: newest.data }
        return { latents: next, dataPrediction: newest.data, state: nextState }
      }
      const previous = { level: levels[index - 1]!, data: state.dataPrediction1! }
      const older = index > 1 ? { level: levels[index - 2]!, data: state.dataPrediction2! } : undefined
      const corrected = correct(state.correctedLatents!, newest, previous, older)
      const next = multistep(levels[index + 1]!, corrected, newest, index < steps - 1 ? previous : undefined)
      return {
        latents: next,
        dataPrediction: newest.data,
        state: { correctedLatents: corrected, dataPrediction1: newest.data, dataPrediction2: previous.data },
      }
    },
  }
}

/**
 * UniC: repeats the last step from the latents it began with, now that the data prediction at its end is known.
 * Of order 1 where there is no older prediction, else of order 2.
 */
function correct(
  latents: Float32Array,
  newest: LeveledPrediction,
  previous: LeveledPrediction,
  older: LeveledPrediction | undefined,
): Float32Array {
  const h = newest.level.lambda - previous.level.lambda
  const keep = newest.level.sigma / previous.level.sigma
  const gain = -newest.level.alpha * Math.expm1(-h)
  const corrected = new Float32Array(latents.length)
  if (older === undefined) {
    for (let i = 0; i < corrected.length; i++) {
      corrected[i] = keep * latents[i]! + gain * 0.5 * (previous.data[i]! + newest.data[i]!)
    }
    return corrected
  }
  const { weightOlder, weightNewest } = correctorWeights(h, previous.level, older.level)
  for (let i = 0; i < corrected.length; i++) {
    const data = previous.data[i]!
    const change = weightOlder * (older.data[i]! - data) + weightNewest * (newest.data[i]! - data)
    corrected[i] = keep * latents[i]! + gain * (data + change)
  }
  return corrected
}

/**
 * Weights of the differences to the older and to the newest prediction: the ones that integrate a parabola through the
 * three exactly. With r the older prediction's place in units of the step (negative): ρ₁ + ρ₂ = b₁, r·ρ₁ + ρ₂ = b₂.
 */
function correctorWeights(h: number, previous: NoiseLevel, older: NoiseLevel) {
  const r = (older.lambda - previous.lambda) / h
  const growth = Math.expm1(-h)
  const phi2 = growth / -h - 1
  const phi3 = phi2 / -h - 0.5
  const b1 = phi2 / growth
  const b2 = (2 * phi3) / growth
  const rho1 = (b1 - b2) / (1 - r)
  return { weightOlder: rho1 / r, weightNewest: b1 - rho1 }
}
