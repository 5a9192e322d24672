import { createMt19937, type RandomBits } from './mt19937.ts'

const mostValues = 2 ** 24
const mostSeed = 2n ** 64n - 1n
const blockLength = 16
const twoPi = Math.fround(2 * Math.PI)

/** Draws in order; each draw goes on where the one before ended. */
export interface TorchGenerator {
  /**
   * The next `count` values of the standard normal distribution, what `torch.randn` gives for any shape of that many
   * float32 values, within 1e-6. Throws a RangeError unless count is an integer from 1 to 2²⁴.
   */
  randn(count: number): Float32Array
}

/**
 * PyTorch's CPU generator after `manual_seed(seed)` (aten/src/ATen/native/cpu/DistributionTemplates.h and
 * aten/src/ATen/core/DistributionsHelper.h): the values of its AVX2 path, which x86 machines with AVX2 or AVX-512 take; those
 * of its portable path differ from them by up to 2.2e-6. Only the seed's low 32 bits count, as in PyTorch.
 * Throws a RangeError unless seed is an integer from 0 to 2⁶⁴ − 1; beyond 2⁵³ − 1 it must be a bigint to be exact.
 */
export function createTorchGenerator(seed: bigint | number): TorchGenerator {
  const random = createMt19937(Number(BigInt.asUintN(32, checkSeed(seed))))
  const nextScalar = createScalarNormal(random)
  return {
    randn(count) {
      if (!Number.isInteger(count) || count < 1 || count > mostValues) {
        throw new RangeError(`count must be an integer from 1 to ${mostValues}, got ${count}`)
      }
      return count < blockLength ? Float32Array.from({ length: count }, nextScalar) : fillNormal(random, count)
    },
  }
}

function checkSeed(seed: bigint | number): bigint {
  if (typeof seed === 'number' && !Number.isSafeInteger(seed)) {
    throw new RangeError(`seed must be an integer from 0 to ${mostSeed}, as a bigint beyond 2^53 - 1, got ${seed}`)
  }
  const exact = BigInt(seed)
  if (exact < 0n || exact > mostSeed) throw new RangeError(`seed must be an integer from 0 to ${mostSeed}, got ${seed}`)
  return exact
}

/** 16 values and more: all uniforms first, then Box–Muller in blocks of 16, the last block over new uniforms if it overlaps. */
function fillNormal(random: RandomBits, count: number): Float32Array {
  const values = new Float32Array(count)
  fillUniform(random, values)
  for (let start = 0; start + blockLength <= count; start += blockLength) transformBlock(values, start)
  if (count % blockLength !== 0) {
    const start = count - blockLength
    fillUniform(random, values.subarray(start))
    transformBlock(values, start)
  }
  return values
}

/** Uniform in [0, 1): 24 random bits, as many as a float32 holds. */
function fillUniform(random: RandomBits, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i] = (random() & 0xffffff) / 0x1000000
}

/** Box–Muller over eight pairs, each of a value and the one eight places on. */
function transformBlock(values: Float32Array, start: number): void {
  for (let i = start; i < start + blockLength / 2; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - values[i]!))
    // A float32 angle as in the AVX2 path: a double's differs enough to move a value by 2e-6.
    const angle = Math.fround(twoPi * values[i + blockLength / 2]!)
    values[i] = radius * Math.cos(angle)
    values[i + blockLength / 2] = radius * Math.sin(angle)
  }
}

/** Fewer than 16 values: Box–Muller in doubles, one value a call; the second of a pair waits for the next such call. */
function createScalarNormal(random: RandomBits): () => number {
  let waiting: number | undefined
  return () => {
    if (waiting !== undefined) {
      const value = waiting
      waiting = undefined
      return value
    }
    const angle = 2 * Math.PI * uniformDouble(random)
    const radius = Math.sqrt(-2 * Math.log1p(-uniformDouble(random)))
    waiting = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }
}

/** Uniform in [0, 1) with 53 random bits: the low 21 of the first draw above the 32 of the second. */
function uniformDouble(random: RandomBits): number {
  const high = random() & 0x1fffff
  return (high * 2 ** 32 + random()) / 2 ** 53
}
