import { createHash } from 'node:crypto'
import type { FloatTensor } from '../lib/runtime/tensor.ts'

/** Results by the hash of everything they depend on, the least recently used leaving first when a byte bound is reached. */
export interface ContentCache {
  /** The kept result, or `make`'s, which is made once however many ask at the same time; a failure is not kept. */
  get(key: string, make: () => Promise<Tensors>): Promise<Tensors>
  /** How often a result was there, and how often it had to be made. */
  readonly counts: { readonly hits: number; readonly misses: number }
}

type Tensors = Readonly<Record<string, FloatTensor>>

export function createContentCache(maxBytes: number): ContentCache {
  const entries = new Map<string, { readonly result: Promise<Tensors>; bytes: number }>()
  const counts = { hits: 0, misses: 0 }
  const trim = () => {
    let total = [...entries.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    for (const [key, { bytes }] of entries) {
      // The newest stays even when it is larger than the bound: it is in use.
      if (total <= maxBytes || entries.size === 1) return
      entries.delete(key)
      total -= bytes
    }
  }
  return {
    counts,
    get(key, make) {
      const known = entries.get(key)
      entries.delete(key)
      if (known) {
        counts.hits++
        entries.set(key, known)
        return known.result
      }
      counts.misses++
      const entry = { result: make(), bytes: 0 }
      entries.set(key, entry)
      entry.result.then(
        (tensors) => {
          entry.bytes = Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0)
          trim()
        },
        () => entries.delete(key),
      )
      return entry.result
    },
  }
}

/** SHA-256 over the parts, each told apart from its neighbours by its length. */
export function contentHash(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part
    hash.update(`${bytes.length}:`).update(bytes)
  }
  return hash.digest('hex')
}
