import { bytesPerElement, type DType } from '../graph/dtype.ts'

/** Where one tensor of a checkpoint lies: `length` bytes from `offset` of `file` (absolute), little-endian, row-major. */
export interface TensorEntry {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly file: string
  readonly offset: number
  readonly length: number
}

/** The tensors of one checkpoint by name; `source` is the path as it was opened. */
export interface Checkpoint {
  readonly source: string
  readonly tensors: ReadonlyMap<string, TensorEntry>
}

/** What is wrong with a checkpoint: one line, which starts with its file's path. */
export class CheckpointError extends Error {
  override readonly name = 'CheckpointError'

  constructor(path: string, problem: string) {
    super(`${printable(path)}: ${problem}`)
  }
}

/** Far above the largest published models (some 100,000 tensors for a mixture of experts). */
export const maxTensors = 262_144
export const maxNameLength = 1024
export const maxRank = 32

/** Bytes that a tensor takes, or Infinity where a product on the way exceeds 2^53 − 1. */
export function tensorByteLength(dtype: DType, shape: readonly number[]): number {
  let length = bytesPerElement[dtype]
  for (const size of shape) {
    length *= size
    if (!Number.isSafeInteger(length)) return Number.POSITIVE_INFINITY
  }
  return length
}

/** Text from a file, fit for a message: in quotes, on one line, at most 100 characters of it. */
export function quote(text: string): string {
  return `'${printable(text.length > 100 ? `${text.slice(0, 100)}…` : text)}'`
}

function printable(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\p{Cc}\u2028\u2029]/gu, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
