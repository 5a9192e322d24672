import { createHash, type Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'

/** What a file's bytes must hash to: SHA-256 for large files, git's blob SHA-1 for those that the hub keeps in git itself. */
export interface Digest {
  readonly algorithm: 'sha256' | 'git-sha1'
  readonly hex: string
}

/** A hash of `sizeBytes` bytes; git hashes a header with the size first (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects). */
export function startHash(algorithm: Digest['algorithm'], sizeBytes: number): Hash {
  return algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${sizeBytes}\0`)
}

/** Feeds a file to a hash; `onBytes` gets the length of every piece. Throws the signal's reason when it is aborted. */
export async function hashFile(
  path: string,
  hash: Hash,
  onBytes: (bytes: number) => void = () => {},
  signal?: AbortSignal,
): Promise<void> {
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20, ...(signal ? { signal } : {}) })) {
    if (!Buffer.isBuffer(piece)) throw new TypeError(`${path} was read as text`)
    hash.update(piece)
    onBytes(piece.length)
  }
}
