/**
 * A tensor on the host, in memory that all threads share: handing one to a network's thread copies nothing.
 * Whoever makes a tensor may fill it; after it was handed on, nobody writes to it.
 */
export type HostTensor = FloatTensor | IntTensor

export interface FloatTensor {
  readonly dtype: 'float32'
  readonly shape: readonly number[]
  readonly data: Float32Array<SharedArrayBuffer>
}

export interface IntTensor {
  readonly dtype: 'int64'
  readonly shape: readonly number[]
  readonly data: BigInt64Array<SharedArrayBuffer>
}

export function elementCountOf(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1)
}

/** A tensor of float32, zero or filled with `numbers`. Throws a RangeError where their count is not the shape's. */
export function floatTensor(shape: readonly number[], numbers?: ArrayLike<number>): FloatTensor {
  const count = checkCount(shape, numbers)
  const data = new Float32Array(new SharedArrayBuffer(count * Float32Array.BYTES_PER_ELEMENT))
  if (numbers) data.set(numbers)
  return { dtype: 'float32', shape, data }
}

/** A tensor of int64, filled with whole `numbers`. Throws a RangeError where their count is not the shape's. */
export function intTensor(shape: readonly number[], numbers: readonly number[]): IntTensor {
  const count = checkCount(shape, numbers)
  const data = new BigInt64Array(new SharedArrayBuffer(count * BigInt64Array.BYTES_PER_ELEMENT))
  data.set(numbers.map(BigInt))
  return { dtype: 'int64', shape, data }
}

/** Item `index` along the first axis, which stays with size 1; no copy. */
export function itemOf(tensor: FloatTensor, index: number): FloatTensor {
  const [count = 0, ...rest] = tensor.shape
  if (index < 0 || index >= count) throw new RangeError(`item ${index}: the tensor has ${count}`)
  const length = elementCountOf(rest)
  return { dtype: 'float32', shape: [1, ...rest], data: tensor.data.subarray(index * length, (index + 1) * length) }
}

/** Tensors of one shape [1, ...] one after another along the first axis. */
export function stacked(tensors: readonly FloatTensor[]): FloatTensor {
  const first = tensors[0]
  if (!first) throw new RangeError('stacked: no tensors')
  const result = floatTensor([tensors.reduce((sum, { shape }) => sum + shape[0]!, 0), ...first.shape.slice(1)])
  let offset = 0
  for (const { data } of tensors) {
    result.data.set(data, offset)
    offset += data.length
  }
  return result
}

function checkCount(shape: readonly number[], numbers?: ArrayLike<number>): number {
  const count = elementCountOf(shape)
  if (numbers && numbers.length !== count) {
    throw new RangeError(`tensor [${shape.join(', ')}] holds ${count} numbers, got ${numbers.length}`)
  }
  return count
}
