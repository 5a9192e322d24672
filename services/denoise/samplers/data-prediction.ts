import type { NoiseLevel } from './noise-schedule.ts'

/** The noiseless latents that ε points at: (latents − sigma · ε) / alpha. */
export function dataPrediction(level: NoiseLevel, latents: Float32Array, epsilon: Float32Array): Float32Array {
  const data = new Float32Array(latents.length)
  for (let i = 0; i < data.length; i++) data[i] = (latents[i]! - level.sigma * epsilon[i]!) / level.alpha
  return data
}

/** A data prediction with the noise level it was made at. */
export interface LeveledPrediction {
  readonly level: NoiseLevel
  readonly data: Float32Array
}

/**
 * Moves latents from the level of the newest data prediction to another, by the exponential integrator over data
 * predictions: first order from one prediction, second order (midpoint) where the one before is given too.
 * DPM-Solver++ 2M (Lu et al. 2022, https://arxiv.org/abs/2211.01095, algorithm 2); UniP-2 with B₂(h) is the same formula.
 */
export function multistep(
  to: NoiseLevel,
  latents: Float32Array,
  newest: LeveledPrediction,
  previous: LeveledPrediction | undefined,
): Float32Array {
  const h = to.lambda - newest.level.lambda
  const keep = to.sigma / newest.level.sigma
  const gain = -to.alpha * Math.expm1(-h)
  const next = new Float32Array(latents.length)
  if (previous === undefined) {
    for (let i = 0; i < next.length; i++) next[i] = keep * latents[i]! + gain * newest.data[i]!
    return next
  }
  const slope = (0.5 * h) / (newest.level.lambda - previous.level.lambda)
  for (let i = 0; i < next.length; i++) {
    const data = newest.data[i]!
    next[i] = keep * latents[i]! + gain * (data + slope * (data - previous.data[i]!))
  }
  return next
}
