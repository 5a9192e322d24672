import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { bytesPerElement, type DType } from '../graph/dtype.ts'
import { writeAt } from '../write-at.ts'
import { maxHeaderLength, safetensorsDTypes } from './safetensors.ts'
import { CheckpointError, quote, tensorByteLength } from './tensor-entry.ts'

export interface TensorSpec {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
}

export interface TensorData extends TensorSpec {
  readonly chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>
}

/** A safetensors file on its way: it lies under a temporary name beside its target until `finish`. */
export interface SafetensorsFile {
  /** Appends to a tensor; tensors may be filled in any order and by turns. */
  append(name: string, bytes: Uint8Array): Promise<void>
  /** Puts the file in its place. Throws a CheckpointError when a tensor lacks bytes. */
  finish(): Promise<void>
  /** Closes the file and, unless it was finished, removes it. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Writes one file, tensor after tensor. `path` is as it was, if it was, until everything has been written. */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await using file = await createSafetensors(path, tensors, metadata)
  for (const { name, chunks } of tensors) for await (const chunk of chunks) await file.append(name, chunk)
  await file.finish()
}

/**
 * Starts a file whose tensors' bytes come later. As in the reference, the data starts at a multiple of 8 bytes and wider
 * dtypes come first, so that every tensor is aligned to its elements.
 * Throws a CheckpointError for duplicate names, sizes that are no whole numbers, or a header above 100 MB.
 */
export async function createSafetensors(
  path: string,
  tensors: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<SafetensorsFile> {
  const { header, ranges } = layOut(path, tensors, metadata)
  const partial = `${resolve(path)}.${randomUUID()}.partial`
  const handle = await open(partial, 'wx')
  let state: 'open' | 'closed' | 'finished' = 'open'
  const close = async () => {
    if (state === 'open') await handle.close()
    state = 'closed'
  }
  const discard = async () => {
    if (state === 'finished') return
    await close()
    await rm(partial, { force: true })
  }
  try {
    await writeAt(handle, header, 0)
  } catch (error) {
    await discard()
    throw error
  }
  return {
    async append(name, bytes) {
      const range = ranges.get(name)
      if (range === undefined) throw new CheckpointError(path, `no tensor ${quote(name)} was announced`)
      if (range.next + bytes.length > range.end)
        throw new CheckpointError(
          path,
          `tensor ${quote(name)} takes ${range.end - range.start} bytes, got ${range.next + bytes.length - range.start}`,
        )
      const position = range.next
      range.next += bytes.length
      await writeAt(handle, bytes, position)
    },
    async finish() {
      for (const [name, { start, next, end }] of ranges)
        if (next !== end)
          throw new CheckpointError(path, `tensor ${quote(name)} takes ${end - start} bytes, got ${next - start}`)
      await handle.sync()
      await close()
      await rename(partial, path)
      state = 'finished'
    },
    [Symbol.asyncDispose]: discard,
  }
}

function layOut(path: string, tensors: readonly TensorSpec[], metadata: Readonly<Record<string, string>>) {
  const parts: string[] = []
  if (Object.keys(metadata).length > 0) parts.push(`"__metadata__":${JSON.stringify(metadata)}`)
  const begins = new Map<string, { begin: number; length: number }>()
  let end = 0
  const widestFirst = tensors.toSorted(
    (a, b) => bytesPerElement[b.dtype] - bytesPerElement[a.dtype] || (a.name < b.name ? -1 : 1),
  )
  for (const { name, dtype, shape } of widestFirst) {
    const length = tensorByteLength(dtype, shape)
    if (begins.has(name) || name === '__metadata__')
      throw new CheckpointError(path, `the name ${quote(name)} is used twice`)
    if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0) || !Number.isSafeInteger(end + length))
      throw new CheckpointError(path, `tensor ${quote(name)} can't have the shape [${shape.join(', ')}]`)
    begins.set(name, { begin: end, length })
    const offsets = [end, end + length]
    parts.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype: safetensorsDTypes.get(dtype), shape, data_offsets: offsets })}`,
    )
    end += length
  }
  const json = Buffer.from(`{${parts.join(',')}}`)
  const headerLength = Math.ceil(json.length / 8) * 8
  if (headerLength > maxHeaderLength)
    throw new CheckpointError(path, `the header has ${headerLength} bytes; at most ${maxHeaderLength} are allowed`)
  const header = Buffer.alloc(8 + headerLength, ' ')
  header.writeBigUInt64LE(BigInt(headerLength))
  json.copy(header, 8)
  const ranges = new Map<string, { readonly start: number; readonly end: number; next: number }>()
  for (const [name, { begin, length }] of begins) {
    const start = header.length + begin
    ranges.set(name, { start, end: start + length, next: start })
  }
  return { header, ranges }
}
