import { bytesPerElement } from '../graph/dtype.ts'

/** Numbers in one block; a tensor is as many blocks as it needs. */
const blockLength = 2 ** 20

/**
 * Bytes of a tensor of random numbers that keep a network's activations in an ordinary range: norms near 1, biases
 * near 0, weights by their fan-in. The same tensor always gets the same bytes.
 */
export function* randomValues(
  name: string,
  dtype: 'float32' | 'float16',
  shape: readonly number[],
): Generator<Uint8Array> {
  const count = shape.reduce((product, size) => product * size, 1)
  const block = blockOf(dtype, ...distribution(name, shape))
  for (let done = 0; done < count; done += blockLength) {
    yield block.subarray(0, Math.min(blockLength, count - done) * bytesPerElement[dtype])
  }
}

/** Middle and half width of the uniform distribution that a tensor's numbers are drawn from. */
function distribution(name: string, shape: readonly number[]): [number, number] {
  if (name.endsWith('position_ids')) return [0, 0]
  if (shape.length === 1) return name.endsWith('bias') ? [0, 0.02] : [1, 0.1]
  const fanIn = shape.slice(1).reduce((product, size) => product * size, 1)
  return [0, Math.sqrt(3 / fanIn)]
}

const blocks = new Map<string, Uint8Array>()

/** Few distributions occur, and every tensor of one shares its block: writing gigabytes then costs no arithmetic. */
function blockOf(dtype: 'float32' | 'float16', middle: number, width: number): Uint8Array {
  const key = `${dtype} ${middle} ${width}`
  const known = blocks.get(key)
  if (known) return known
  const numbers = dtype === 'float32' ? new Float32Array(blockLength) : new Float16Array(blockLength)
  // A linear congruential generator (Numerical Recipes) is random enough for weights that mean nothing.
  let state = 1
  for (let index = 0; index < blockLength; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    numbers[index] = middle + width * (state / 2 ** 31 - 1)
  }
  const block = new Uint8Array(numbers.buffer)
  blocks.set(key, block)
  return block
}
