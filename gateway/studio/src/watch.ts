import { signal } from '@preact/signals'
import { createClient } from 'graphql-ws'
import {
  GenerationDocument,
  type GenerationPartsFragment,
  WatchDocument,
  type WatchSubscription,
} from '../generated/operations'
import { apiKey, ask } from './api'

export type Snapshot = WatchSubscription['generationProgress']

const client = createClient({
  url: `${location.origin.replace(/^http/, 'ws')}/graphql`,
  connectionParams: () => (apiKey.value ? { authorization: `Bearer ${apiKey.value}` } : {}),
  retryAttempts: 0,
  keepAlive: 10_000,
})
addEventListener('offline', () => client.terminate())

export const hasEnded = (status: string): boolean => ['SUCCEEDED', 'FAILED', 'REJECTED', 'CANCELED'].includes(status)

/**
 * Follows a generation to its end: snapshots over WebSocket, each connection going on after the last one seen, and
 * where there is no connection the generation itself, asked for every second or two.
 */
export function watchGeneration(id: string) {
  const generation = signal<GenerationPartsFragment | null | undefined>(undefined)
  const snapshot = signal<Snapshot | null>(null)
  const connected = signal(true)
  const fault = signal('')
  let isOver = false
  let stop = () => {}

  /** Whether nothing is left to follow. */
  const load = async () => {
    generation.value = (await ask(GenerationDocument, { id })).generation
    return isOver || !generation.value || hasEnded(generation.value.status)
  }
  const follow = async () => {
    for (let wait = 500; !isOver; wait = Math.min(2000, wait * 2)) {
      try {
        const isDone = await load()
        fault.value = ''
        if (isDone) return
        const results = client.iterate<WatchSubscription>({
          query: String(WatchDocument),
          variables: { id, after: snapshot.value?.cursor },
        })
        stop = () => void results.return?.()
        let ended = false
        for await (const { data } of results) {
          if (!data) break
          connected.value = true
          wait = 500
          const next = data.generationProgress
          // The end is shown with what came of it, which the generation alone has.
          ended = hasEnded(next.status)
          if (ended) break
          // What has no picture of its own goes on showing the one before.
          const preview = next.preview ?? snapshot.value?.preview ?? null
          const mask = next.mask ?? snapshot.value?.mask ?? null
          if (next.preview) performance.mark('preview-event', { detail: next.preview.url })
          snapshot.value = { ...next, preview, mask }
        }
        if (ended && (await load())) return
      } catch (error) {
        connected.value = false
        if (generation.value === undefined && error instanceof Error) fault.value = error.message
      }
      await new Promise((resolve) => setTimeout(resolve, wait))
    }
  }
  void follow()
  return {
    generation,
    snapshot,
    connected,
    fault,
    dispose() {
      isOver = true
      stop()
    },
  }
}
