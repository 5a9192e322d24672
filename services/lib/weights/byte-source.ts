import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { CheckpointError } from './tensor-entry.ts'

/** Bytes that a reader picks from: a file, or a buffer. */
export interface ByteSource {
  /** As opened; what messages start with. */
  readonly path: string
  readonly size: number
  /** Exactly `length` bytes in a buffer of their own, or a CheckpointError. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer>
}

/** Opens a regular file for as long as `use` runs. Throws a CheckpointError when it can't be opened or read. */
export function withFile<Result>(path: string, use: (source: ByteSource) => Result): Result {
  const descriptor = attempt(path, 'opened', () => {
    // Opening a FIFO would wait for its writer, so the kind of file is looked at first.
    if (!statSync(path).isFile()) throw new CheckpointError(path, 'is not a regular file')
    return openSync(path, 'r')
  })
  try {
    const size = attempt(path, 'read', () => fstatSync(descriptor).size)
    return use({ path, size, read: (offset, length) => readRange(descriptor, path, size, offset, length) })
  } finally {
    closeSync(descriptor)
  }
}

/** A source over bytes in memory, named `path` in messages. */
export function sourceOf(path: string, bytes: Uint8Array): ByteSource {
  return {
    path,
    size: bytes.length,
    read(offset, length) {
      checkRange(path, bytes.length, offset, length)
      return new Uint8Array(bytes.subarray(offset, offset + length))
    },
  }
}

function readRange(descriptor: number, path: string, size: number, offset: number, length: number) {
  checkRange(path, size, offset, length)
  const bytes = attempt(path, 'read', () => new Uint8Array(length))
  let done = 0
  while (done < length) {
    // One read(2) ends at 2 GiB, and any may come back short.
    const want = Math.min(length - done, 1 << 28)
    const got = attempt(path, 'read', () => readSync(descriptor, bytes, done, want, offset + done))
    if (got === 0) throw new CheckpointError(path, `ends at byte ${offset + done}; it had ${size} bytes when opened`)
    done += got
  }
  return bytes
}

function checkRange(path: string, size: number, offset: number, length: number): void {
  if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0))
    throw new CheckpointError(path, `a range of ${length} bytes at ${offset} can't be read`)
  if (offset + length > size)
    throw new CheckpointError(path, `is truncated: ${length} bytes at ${offset} are needed, the file has ${size}`)
}

function attempt<Result>(path: string, done: string, action: () => Result): Result {
  try {
    return action()
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause
    throw new CheckpointError(path, `can't be ${done} (${cause instanceof Error ? cause.message : String(cause)})`)
  }
}
