import { elementCountOf, type FloatTensor, floatTensor } from '../runtime/tensor.ts'
import { invalid, MeshError } from './errors.ts'
import type { Tensor, Tensor__Output } from './generated/moma/common/v1/Tensor.ts'
import type { TensorChunk, TensorChunk__Output } from './generated/moma/common/v1/TensorChunk.ts'

/** Sizes of the axes a tensor must have; null where any size will do, within the bytes allowed. */
export type ShapePattern = readonly (number | null)[]

/** Of a tensor in one message. */
const maxTensorBytes = 4 * 2 ** 20
/** Of a tensor in chunks: the patch features of the full size are 2.4 MB. */
const maxStreamedBytes = 16 * 2 ** 20
const chunkBytes = 2 ** 19

/** The tensor's own memory as a message; nothing is copied before it is written. */
export function tensorMessage(tensor: FloatTensor): Tensor {
  return { dataType: 'DATA_TYPE_FLOAT32', shape: [...tensor.shape], data: bytesOf(tensor) }
}

/** Reads a tensor, copied once. Throws INVALID_ARGUMENT where element type, shape, length or a number is not as it should be. */
export function readTensor(field: string, message: Tensor__Output | null, pattern: ShapePattern): FloatTensor {
  if (!message) throw invalid(field, 'missing', `a tensor ${shown(pattern)}`)
  const tensor = allocate(field, message.dataType, message.shape, pattern, maxTensorBytes)
  const bytes = bytesOf(tensor)
  if (message.data.length !== bytes.length) {
    throw invalid(`${field}.data`, `${message.data.length} bytes long`, `${bytes.length} bytes for its shape`)
  }
  bytes.set(message.data)
  return checkFinite(field, tensor)
}

/** The tensor's header, then its bytes in views of its own memory. */
export function* tensorChunks(name: string, tensor: FloatTensor): Generator<TensorChunk> {
  yield { header: { name, dataType: 'DATA_TYPE_FLOAT32', shape: [...tensor.shape] } }
  const bytes = bytesOf(tensor)
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    yield { data: bytes.subarray(start, start + chunkBytes) }
  }
}

/** Puts one chunked tensor together, each byte copied once to its place. */
export interface TensorReader {
  /** Throws INVALID_ARGUMENT where a chunk is not what must come next. */
  take(chunk: TensorChunk__Output | null | undefined): void
  /** The whole tensor. Throws INVALID_ARGUMENT where bytes are missing. */
  finish(): FloatTensor
}

export function createTensorReader(name: string, pattern: ShapePattern): TensorReader {
  let tensor: FloatTensor | undefined
  let filled = 0
  return {
    take(chunk) {
      if (!chunk?.piece) throw invalid(name, 'an empty chunk', 'a header, or bytes after it')
      if (chunk.header) {
        if (tensor) throw invalid(name, 'announced twice', 'one header')
        if (chunk.header.name !== name) throw invalid('header.name', chunk.header.name, JSON.stringify(name))
        tensor = allocate(name, chunk.header.dataType, chunk.header.shape, pattern, maxStreamedBytes)
        return
      }
      const data = chunk.data ?? Buffer.alloc(0)
      if (!tensor) throw invalid(name, 'without a header', 'a header before its bytes')
      const bytes = bytesOf(tensor)
      if (filled + data.length > bytes.length) {
        throw invalid(name, `at least ${filled + data.length} bytes long`, `${bytes.length} bytes for its shape`)
      }
      bytes.set(data, filled)
      filled += data.length
    },
    finish() {
      if (!tensor) throw invalid(name, 'missing', `a tensor ${shown(pattern)}`)
      const { byteLength } = tensor.data
      if (filled !== byteLength) throw invalid(name, `${filled} bytes long`, `${byteLength} bytes for its shape`)
      return checkFinite(name, tensor)
    },
  }
}

function allocate(
  field: string,
  dataType: unknown,
  shape: readonly number[],
  pattern: ShapePattern,
  maxBytes: number,
): FloatTensor {
  if (dataType !== 'DATA_TYPE_FLOAT32') throw invalid(`${field}.data_type`, dataType, 'DATA_TYPE_FLOAT32')
  const fits =
    shape.length === pattern.length && shape.every((size, axis) => size > 0 && size === (pattern[axis] ?? size))
  if (!fits) throw invalid(`${field}.shape`, `[${shape.slice(0, 8).join(', ')}]`, shown(pattern))
  const bytes = elementCountOf(shape) * 4
  if (bytes > maxBytes) throw invalid(`${field}.shape`, `[${shape.join(', ')}]`, `at most ${maxBytes} bytes of float32`)
  return floatTensor(shape)
}

function shown(pattern: ShapePattern): string {
  return `[${pattern.map((size) => size ?? '?').join(', ')}]`
}

/** All platforms that Node runs on here are little-endian, as the contract is. */
function bytesOf({ data }: FloatTensor): Buffer<SharedArrayBuffer> {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength)
}

function checkFinite(field: string, tensor: FloatTensor): FloatTensor {
  const index = tensor.data.findIndex((number) => !Number.isFinite(number))
  if (index < 0) return tensor
  throw new MeshError('INVALID_ARGUMENT', `${field}: number ${index} is ${tensor.data[index]}, must be finite`)
}
