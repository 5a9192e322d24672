import type { SamplerState } from './sampler.ts'

/** Throws a RangeError unless there is a step `index` and `latents`, `epsilon` and exactly the named state fit together. */
export function checkStepInput(
  steps: number,
  index: number,
  latents: Float32Array,
  epsilon: Float32Array,
  state: SamplerState,
  stateNames: readonly string[],
): void {
  if (!Number.isInteger(index) || index < 0 || index >= steps) {
    throw new RangeError(`step index must be an integer from 0 to ${steps - 1}, got ${index}`)
  }
  if (epsilon.length !== latents.length) {
    throw new RangeError(`epsilon must have the ${latents.length} values of the latents, got ${epsilon.length}`)
  }
  const given = Object.keys(state)
  if (given.length !== stateNames.length || !stateNames.every((name) => Object.hasOwn(state, name))) {
    throw new RangeError(`sampler state of step ${index} must be ${list(stateNames)}, got ${list(given)}`)
  }
  for (const name of given) {
    const length = state[name]?.length
    if (length === latents.length) continue
    throw new RangeError(`sampler state ${name} must have the ${latents.length} values of the latents, got ${length}`)
  }
}

const list = (names: readonly string[]): string => (names.length === 0 ? 'empty' : names.join(' and '))
