import { createHash } from 'node:crypto'
import type { GreyImage, RgbImage } from './images/image.ts'

/** Results by the hash of everything they depend on, the least recently used leaving first when a byte bound is reached. */
export interface ContentCache<T> {
  /** The kept result, or `make`'s, which is made once however many ask at the same time; a failure is not kept. */
  get(key: string, make: () => Promise<T>): Promise<T>
  /** How often a result was there, and how often it had to be made. */
  readonly counts: { readonly hits: number; readonly misses: number }
}

export function createContentCache<T>(maxBytes: number, bytesOf: (result: T) => number): ContentCache<T> {
  const entries = new Map<string, { readonly result: Promise<T>; bytes: number }>()
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
        (result) => {
          entry.bytes = bytesOf(result)
          trim()
        },
        () => entries.delete(key),
      )
      return entry.result
    },
  }
}

/** SHA-256 in hexadecimal over the parts, each told apart from its neighbours by its length. */
export function contentHash(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : part
    hash.update(`${bytes.length}:`).update(bytes)
  }
  return hash.digest('hex')
}

/** What a subject's photo and mask are known by; its noun is not part of it. */
export function subjectHash(reference: RgbImage, mask: GreyImage): string {
  return contentHash(reference.pixels, mask.pixels, String(reference.widthPx))
}
