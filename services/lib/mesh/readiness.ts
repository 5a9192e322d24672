import { setTimeout as sleep } from 'node:timers/promises'
import type { NetworkPool } from '../runtime/pool.ts'
import { type Recipe, recipeKey } from '../runtime/recipe.ts'

/** Whether a service can do its work now. */
export interface Readiness {
  readonly ready: boolean
  /** Told of every change. Returns what ends the telling. */
  onChange(listener: (ready: boolean) => void): () => void
  dispose(): void
}

/** Of a service that needs nothing. */
export const alwaysReady: Readiness = { ready: true, onChange: () => () => undefined, dispose: () => undefined }

export interface ReadinessOptions {
  /** Told why a network can't be opened; it is tried again. */
  readonly onFailure?: (error: unknown) => void
  /** Wait after a failure, doubled for each one in a row up to the largest. */
  readonly retryMs?: { readonly first: number; readonly largest: number }
}

/**
 * Ready when each network has been opened once, and not from when one is lost until it is back. What the pool lets go to
 * make room stays ready: it was opened, so it can be again.
 */
export function networkReadiness(
  pool: NetworkPool,
  networks: readonly Recipe[],
  { onFailure, retryMs = { first: 250, largest: 30_000 } }: ReadinessOptions = {},
): Readiness {
  const listeners = new Set<(ready: boolean) => void>()
  const missing = new Map(networks.map((recipe) => [recipeKey(recipe), recipe]))
  const ended = new AbortController()
  let opening = false

  const open = async () => {
    if (opening) return
    opening = true
    for (let failures = 0; missing.size > 0 && !ended.signal.aborted; ) {
      const [[key, recipe] = []] = missing
      try {
        await pool.with(recipe!, async () => undefined)
        missing.delete(key!)
        failures = 0
      } catch (error) {
        if (ended.signal.aborted) break
        onFailure?.(error)
        const waitMs = Math.min(retryMs.first * 2 ** failures++, retryMs.largest)
        await sleep(waitMs, undefined, { signal: ended.signal, ref: false }).catch(() => undefined)
      }
    }
    opening = false
    if (!ended.signal.aborted) tell()
  }
  const tell = () => {
    for (const listener of listeners) listener(missing.size === 0)
  }
  const stopListening = pool.onLost((recipe) => {
    const key = recipeKey(recipe)
    if (!networks.some((one) => recipeKey(one) === key)) return
    missing.set(key, recipe)
    tell()
    void open()
  })
  if (missing.size > 0) void open()

  return {
    get ready() {
      return missing.size === 0
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    dispose() {
      ended.abort()
      stopListening()
      listeners.clear()
    },
  }
}
