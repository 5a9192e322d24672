import { readFileSync } from 'node:fs'
import { addNoise } from './ddim.ts'
import { alphasCumprod } from './noise-schedule.ts'
import { createSampler, type Sampler, type SamplerName, type SamplerState } from './sampler.ts'

/** Written by training/goldens/samplers.py out of diffusers' schedulers. */
interface Recorded {
  alphasCumprod: string
  latents: string
  noise: string
  noised: Record<string, string>
  runs: { sampler: SamplerName; steps: number; timesteps: number[]; after: Record<string, string> }[]
}

const file = new URL('../../../test/parity/data/samplers/samplers.json', import.meta.url)
const recorded: Recorded = JSON.parse(readFileSync(file, 'utf8'))
const latents = decode(recorded.latents)
const names: SamplerName[] = ['ddim', 'dpm-solver++', 'unipc']

/**
 * Relative to the reference's largest value. diffusers computes λ, exp and every product in float32, this code in
 * doubles: over a run their roundings add up to a few 1e-6.
 */
const tolerance = 1e-5

function decode(base64: string): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer)
}

/** The recorded runs' stand-in for a UNet. */
function model(x: Float32Array, timestep: number): Float32Array {
  return x.map((value, i) => 0.5 * Math.tanh(value) + 0.5 * Math.sin(0.01 * timestep + 0.1 * i))
}

/** Runs the steps from `from` up to `to`; gives the latents after each, and the last state. */
function run(sampler: Sampler, start: Float32Array, from = 0, to = sampler.timesteps.length, given: SamplerState = {}) {
  const after: Float32Array[] = []
  let current = start
  let state = given
  for (let index = from; index < to; index++) {
    const step = sampler.step(index, current, model(current, sampler.timesteps[index]!), state)
    current = step.latents
    state = step.state
    after.push(current)
  }
  return { after, state }
}

function relativeError(got: Float32Array, expected: Float32Array): number {
  let largest = 0
  let error = got.length === expected.length ? 0 : Number.POSITIVE_INFINITY
  for (const [i, value] of expected.entries()) {
    largest = Math.max(largest, Math.abs(value))
    const difference = Math.abs(got[i]! - value)
    if (!(difference <= error)) error = difference
  }
  return error / largest
}

test('the noise schedule is the references’ to the bit', () => {
  expect(Float32Array.from(alphasCumprod)).toEqual(decode(recorded.alphasCumprod))
  expect(alphasCumprod.every((value) => value === Math.fround(value))).toBe(true)
})

test.each(recorded.runs)('$sampler in $steps steps follows diffusers', ({ sampler: name, steps, timesteps, after }) => {
  const sampler = createSampler(name, steps)
  expect(sampler.timesteps).toEqual(timesteps)
  const got = run(sampler, latents).after
  for (const [index, expected] of Object.entries(after)) {
    expect(relativeError(got[Number(index)]!, decode(expected))).toBeLessThanOrEqual(tolerance)
  }
})

test.each(Object.entries(recorded.noised))('noise added at timestep %s is diffusers’', (timestep, expected) => {
  const noised = addNoise(latents, decode(recorded.noise), Number(timestep))
  expect(relativeError(noised, decode(expected))).toBeLessThanOrEqual(tolerance)
})

test('fifty steps of DDIM are the paper’s', () => {
  expect(createSampler('ddim', 50).timesteps).toEqual(Array.from({ length: 50 }, (_, index) => 981 - 20 * index))
})

describe.each(names)('%s', (name) => {
  test('goes on from any checkpoint in the same bytes', () => {
    const sampler = createSampler(name, 12)
    const whole = run(sampler, latents).after.at(-1)!
    for (let cut = 1; cut < 12; cut++) {
      const { after, state } = run(sampler, latents, 0, cut)
      const checkpoint = structuredClone({ latents: after.at(-1)!, state })
      expect(run(createSampler(name, 12), checkpoint.latents, cut, 12, checkpoint.state).after.at(-1)).toEqual(whole)
    }
  })

  test('writes to nothing it was given and shares nothing with it', () => {
    const sampler = createSampler(name, 5)
    const { after, state } = run(sampler, latents, 0, 3)
    const given = { latents: after.at(-1)!, epsilon: model(latents, 1), state }
    const before = structuredClone(given)
    const step = sampler.step(3, given.latents, given.epsilon, given.state)
    expect(given).toEqual(before)

    const first = sampler.step(0, given.latents, given.epsilon, {})
    const kept = structuredClone([step, first])
    given.latents.fill(0)
    given.epsilon.fill(0)
    expect([step, first]).toEqual(kept)
  })

  test('predicts the data from the exact noise', () => {
    const sampler = createSampler(name, 10)
    const data = decode(recorded.noise)
    const noisy = addNoise(data, latents, sampler.timesteps[0]!)
    expect(relativeError(sampler.step(0, noisy, latents, {}).dataPrediction, data)).toBeLessThanOrEqual(tolerance)
  })

  test('takes every number of steps up to its bound, within the trained timesteps', () => {
    const mostSteps = name === 'ddim' ? 999 : 998
    for (let steps = 1; steps <= mostSteps; steps++) {
      const { timesteps } = createSampler(name, steps)
      expect(timesteps).toHaveLength(steps)
      expect(timesteps[0]).toBeLessThanOrEqual(999)
      expect(timesteps.at(-1)).toBeGreaterThanOrEqual(1)
      expect(timesteps.every((timestep, index) => index === 0 || timestep < timesteps[index - 1]!)).toBe(true)
    }
    expect(run(createSampler(name, mostSteps), latents.slice(0, 8)).after.at(-1)!.every(Number.isFinite)).toBe(true)
  })

  test.each([0, -1, 1.5, 1000, Number.NaN, Number.POSITIVE_INFINITY])('refuses %p steps', (steps) => {
    const mostSteps = name === 'ddim' ? 999 : 998
    const message = `steps must be an integer from 1 to ${mostSteps} with ${name}, got ${steps}`
    expect(() => createSampler(name, steps)).toThrow(new RangeError(message))
  })

  test('refuses a step that does not exist and lengths that do not fit', () => {
    const sampler = createSampler(name, 3)
    for (const index of [-1, 3, 0.5]) {
      expect(() => sampler.step(index, latents, latents, {})).toThrow(
        `step index must be an integer from 0 to 2, got ${index}`,
      )
    }
    expect(() => sampler.step(0, latents, latents.slice(1), {})).toThrow(
      'epsilon must have the 192 values of the latents, got 191',
    )
  })
})

test('a multistep sampler refuses the state of another step', () => {
  const sampler = createSampler('unipc', 3)
  const { state } = sampler.step(0, latents, latents, {})
  expect(() => sampler.step(2, latents, latents, state)).toThrow(
    'sampler state of step 2 must be correctedLatents and dataPrediction1 and dataPrediction2, ' +
      'got correctedLatents and dataPrediction1',
  )
  expect(() => sampler.step(1, latents, latents, {})).toThrow('got empty')
  expect(() => sampler.step(0, latents, latents, state)).toThrow('sampler state of step 0 must be empty')
  expect(() => sampler.step(1, latents, latents, { ...state, dataPrediction1: new Float32Array(3) })).toThrow(
    'sampler state dataPrediction1 must have the 192 values of the latents, got 3',
  )
})

test('another name is refused', () => {
  expect(() => Reflect.apply(createSampler, undefined, ['toString', 20])).toThrow(
    "sampler must be one of ddim, dpm-solver++, unipc, got 'toString'",
  )
})

test('noise is added at trained timesteps and of fitting length only', () => {
  for (const timestep of [-1, 1000, 0.5, Number.NaN]) {
    expect(() => addNoise(latents, latents, timestep)).toThrow(
      `timestep must be an integer from 0 to 999, got ${timestep}`,
    )
  }
  expect(() => addNoise(latents, latents.slice(2), 0)).toThrow('noise must have the 192 values of the latents, got 190')
})
