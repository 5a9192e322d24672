import { resolve } from 'node:path'
import type { DType } from '../graph/dtype.ts'
import type { ByteSource } from './byte-source.ts'
import { scanJson } from './json-scanner.ts'
import {
  type Checkpoint,
  CheckpointError,
  maxNameLength,
  maxRank,
  maxTensors,
  quote,
  type TensorEntry,
  tensorByteLength,
} from './tensor-entry.ts'

/** The reference's bound on the header. */
export const maxHeaderLength = 100_000_000

const dtypes: ReadonlyMap<string, DType> = new Map<string, DType>([
  ['F64', 'float64'],
  ['F32', 'float32'],
  ['F16', 'float16'],
  ['BF16', 'bfloat16'],
  ['I64', 'int64'],
  ['I32', 'int32'],
  ['I16', 'int16'],
  ['I8', 'int8'],
  ['U8', 'uint8'],
  ['BOOL', 'bool'],
])

/** The names that the format gives to element types. */
export const safetensorsDTypes: ReadonlyMap<DType, string> = new Map([...dtypes].map(([name, dtype]) => [dtype, name]))

/**
 * Reads the header of a safetensors file, never its data. Throws a CheckpointError for everything that the reference
 * implementation refuses, and for data that the header leaves uncovered.
 * https://github.com/huggingface/safetensors#format
 */
export function readSafetensorsFrom(source: ByteSource): Checkpoint {
  const { path, size } = source
  if (size < 8) throw new CheckpointError(path, `is truncated: a header's length takes 8 bytes, the file has ${size}`)
  const lengthField = new DataView(source.read(0, 8).buffer)
  const headerLength = lengthField.getUint32(0, true) + lengthField.getUint32(4, true) * 2 ** 32
  if (headerLength > maxHeaderLength)
    throw new CheckpointError(path, `the header has ${headerLength} bytes; at most ${maxHeaderLength} are allowed`)
  const dataStart = 8 + headerLength
  if (dataStart > size)
    throw new CheckpointError(path, `is truncated: the header ends at byte ${dataStart}, the file has ${size}`)
  const entries = readHeader(path, source.read(8, headerLength), dataStart)
  checkCover(path, entries, dataStart, size)
  return { source: path, tensors: new Map(entries.map((entry) => [entry.name, entry])) }
}

function readHeader(path: string, header: Uint8Array, dataStart: number): TensorEntry[] {
  const file = resolve(path)
  const entries: TensorEntry[] = []
  const json = scanJson(path, 'the header', header)
  if (json.peek() !== '{')
    throw new CheckpointError(path, `the header must be a JSON object; it starts with ${quote(json.peek())}`)

  const readTensor = (name: string): TensorEntry => {
    const what = `tensor ${quote(name)}`
    const fail = (problem: string): never => {
      throw new CheckpointError(path, `${what} ${problem}`)
    }
    if (name.length > maxNameLength)
      fail(`has a name of ${name.length} characters; at most ${maxNameLength} are allowed`)
    let dtype: DType | undefined
    let shape: number[] | undefined
    let offsets: number[] | undefined
    const numbers = (field: string, most: number) => {
      const values: number[] = []
      json.array(`${field} of ${what}`, (index) => {
        if (index === most) fail(`has more than ${most} numbers in ${field}`)
        values.push(json.wholeNumber(`${field}[${index}] of ${what}`))
      })
      return values
    }
    json.object(what, (field) => {
      if (field === 'dtype') {
        const given = json.string(`dtype of ${what}`)
        dtype = dtypes.get(given) ?? fail(`has the dtype ${quote(given)}; known are ${[...dtypes.keys()].join(', ')}`)
      } else if (field === 'shape') shape = numbers(field, maxRank)
      else if (field === 'data_offsets') offsets = numbers(field, 2)
      else fail(`has the field ${quote(field)}; allowed are dtype, shape, data_offsets`)
    })
    if (dtype === undefined) return fail('has no dtype')
    if (shape === undefined) return fail('has no shape')
    const [begin, end] = offsets ?? []
    if (begin === undefined || end === undefined) return fail('has no data_offsets of two numbers')
    const length = tensorByteLength(dtype, shape)
    if (end - begin !== length)
      fail(`has data_offsets [${begin}, ${end}], ${end - begin} bytes; ${dtype} [${shape.join(', ')}] takes ${length}`)
    return { name, dtype, shape, file, offset: dataStart + begin, length }
  }

  json.object('the header', (name) => {
    if (name === '__metadata__') {
      json.object(name, (key) => json.string(`${name} ${quote(key)}`))
    } else {
      if (entries.length === maxTensors) throw new CheckpointError(path, `has more than ${maxTensors} tensors`)
      entries.push(readTensor(name))
    }
  })
  json.end()
  return entries
}

/** The tensors must cover the data exactly: a hole could hide anything, an overlap is never written by the reference. */
function checkCover(path: string, entries: readonly TensorEntry[], dataStart: number, size: number): void {
  let covered = dataStart
  let previous = ''
  for (const { name, offset, length } of entries.toSorted((a, b) => a.offset - b.offset || a.length - b.length)) {
    if (offset + length > size)
      throw new CheckpointError(
        path,
        `is truncated: tensor ${quote(name)} ends at byte ${offset + length}, the file has ${size}`,
      )
    if (offset < covered)
      throw new CheckpointError(
        path,
        `tensors ${quote(previous)} and ${quote(name)} overlap: one ends at byte ${covered}, the other starts at ${offset}`,
      )
    if (offset > covered)
      throw new CheckpointError(path, `a hole of ${offset - covered} bytes lies before tensor ${quote(name)}`)
    covered = offset + length
    previous = name
  }
  if (covered !== size)
    throw new CheckpointError(path, `${size - covered} bytes follow the last tensor; none are allowed`)
}
