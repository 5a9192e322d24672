/** How many noise levels Stable Diffusion was trained on; its timesteps are 0 … 999. */
export const trainingTimesteps = 1000

const betaStart = 0.00085
const betaEnd = 0.012

/**
 * The share of the data's variance that is left at each training timestep, ᾱ_0 … ᾱ_999, for `scaled_linear` betas.
 * Rounded to float32 where the published references round, so it equals theirs to the bit: at small timesteps 1 − ᾱ
 * would otherwise differ in its fifth digit.
 */
export const alphasCumprod: readonly number[] = scaledLinearAlphasCumprod()

function scaledLinearAlphasCumprod(): number[] {
  const first = Math.fround(Math.sqrt(betaStart))
  const last = Math.fround(Math.sqrt(betaEnd))
  const increment = Math.fround(Math.fround(last - first) / (trainingTimesteps - 1))
  let product = 1
  return Array.from({ length: trainingTimesteps }, (_, timestep) => {
    // Each half counts from its own end, which keeps both ends exact.
    const fromLast = trainingTimesteps - 1 - timestep
    const root = Math.fround(
      timestep < trainingTimesteps / 2 ? first + increment * timestep : last - increment * fromLast,
    )
    const beta = Math.fround(root * root)
    product *= Math.fround(1 - beta)
    return Math.fround(product)
  })
}

/** A point of the diffusion: latents = alpha · data + sigma · noise, lambda = ln(alpha / sigma). */
export interface NoiseLevel {
  readonly alpha: number
  readonly sigma: number
  readonly lambda: number
}

/** Where a multistep run ends: the data itself. */
export const noiseless: NoiseLevel = { alpha: 1, sigma: 0, lambda: Number.POSITIVE_INFINITY }

/** The noise level of a training timestep, 0 … 999; throws a RangeError on any other. */
export function noiseLevel(timestep: number): NoiseLevel {
  const alphaCumprod = alphasCumprod[timestep]
  if (alphaCumprod === undefined) {
    throw new RangeError(`timestep must be an integer from 0 to ${trainingTimesteps - 1}, got ${timestep}`)
  }
  const alpha = Math.sqrt(alphaCumprod)
  const sigma = Math.sqrt(1 - alphaCumprod)
  return { alpha, sigma, lambda: Math.log(alpha / sigma) }
}

/** `steps` timesteps, `stride` apart, falling to `last`: the `leading` spacing of diffusers. */
export function leadingTimesteps(steps: number, stride: number, last: number): readonly number[] {
  return Array.from({ length: steps }, (_, index) => (steps - 1 - index) * stride + last)
}

/** Throws a RangeError unless `steps` is an integer from 1 to `mostSteps`. */
export function checkSteps(sampler: string, steps: number, mostSteps: number): void {
  if (Number.isInteger(steps) && steps >= 1 && steps <= mostSteps) return
  throw new RangeError(`steps must be an integer from 1 to ${mostSteps} with ${sampler}, got ${steps}`)
}
