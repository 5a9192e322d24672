import { MeshError } from '../../lib/mesh/errors.ts'
import type { Progress__Output as Progress } from '../../lib/mesh/generated/moma/generation/v1/Progress.ts'
import type { GenerationClient } from '../client.ts'
import { isEndedMessage } from '../progress.ts'
import { type WatchRequest, watchProgress } from './watch-progress.ts'

/** Progress for any number of watchers: those of one generation share one stream from the service. */
export interface ProgressFeed extends Disposable {
  /**
   * Snapshots after the one that `after` names, or from the latest on. A watcher that falls behind by more than what is
   * kept loses the oldest: every snapshot is whole. Throws what the stream ended with, RESOURCE_EXHAUSTED when too many
   * streams are open, and the signal's reason.
   */
  watch(request: WatchRequest, signal: AbortSignal): AsyncGenerator<Progress, void, undefined>
  /** Streams from the service that are open now. */
  readonly streams: number
}

export interface ProgressFeedOptions {
  /** Streams at once: a gRPC connection carries at most 1000 calls, and queries have to get through beside them. */
  readonly maxStreams?: number
  /** Snapshots of a generation that are kept for those who read more slowly or come back. */
  readonly kept?: number
}

interface Stream {
  readonly tenant: string
  readonly id: string
  /** Cursor it began after. */
  readonly start: string
  readonly log: Progress[]
  /** Snapshots that were in the log before its first one. */
  dropped: number
  ended: boolean
  /** What it ended with, if not well. */
  error: unknown
  readers: number
  readonly waiting: Set<() => void>
  readonly stop: AbortController
}

export function createProgressFeed(
  generation: Pick<GenerationClient, 'watchGeneration'>,
  { maxStreams = 800, kept = 256 }: ProgressFeedOptions = {},
): ProgressFeed {
  const streams = new Set<Stream>()

  const open = ({ tenant, id, after }: WatchRequest): Stream => {
    if (streams.size >= maxStreams) {
      const message = `${streams.size} generations are watched here, at most ${maxStreams} can be; try again later`
      throw new MeshError('RESOURCE_EXHAUSTED', message)
    }
    const stream: Stream = {
      ...{ tenant, id, start: after, log: [], dropped: 0, ended: false, error: undefined, readers: 0 },
      waiting: new Set(),
      stop: new AbortController(),
    }
    streams.add(stream)
    void fill(stream)
    return stream
  }

  const fill = async (stream: Stream) => {
    const { tenant, id, start, log, stop } = stream
    try {
      for await (const progress of watchProgress(generation, { tenant, id, after: start }, stop.signal)) {
        log.push(progress)
        if (log.length > kept) {
          log.shift()
          stream.dropped++
        }
        wakeAll(stream)
      }
    } catch (error) {
      stream.error = error
    }
    stream.ended = true
    streams.delete(stream)
    wakeAll(stream)
  }

  return {
    async *watch(request, signal) {
      signal.throwIfAborted()
      const place = findPlace(streams, request) ?? { stream: open(request), position: 0 }
      const { stream } = place
      stream.readers++
      try {
        for (let next = place.position; ; next++) {
          while (next >= stream.dropped + stream.log.length && !stream.ended) await change(stream, signal)
          signal.throwIfAborted()
          next = Math.max(next, stream.dropped)
          const progress = stream.log[next - stream.dropped]
          if (!progress) {
            if (stream.error !== undefined) throw stream.error
            return
          }
          yield progress
          // Nothing follows an end: the stream's own need not be waited for.
          if (isEndedMessage(progress)) return
        }
      } finally {
        if (--stream.readers === 0) {
          streams.delete(stream)
          const last = stream.log.at(-1)
          if (!last || !isEndedMessage(last)) stream.stop.abort()
        }
      }
    },
    get streams() {
      return streams.size
    },
    [Symbol.dispose]() {
      for (const { stop } of streams) stop.abort()
    },
  }
}

/** A stream that has, or will have, everything that is asked for, and where to begin in it. */
function findPlace(
  streams: Iterable<Stream>,
  { tenant, id, after }: WatchRequest,
): { readonly stream: Stream; readonly position: number } | null {
  for (const stream of streams) {
    if (stream.id !== id || stream.tenant !== tenant) continue
    const { log, dropped, start } = stream
    const seen = after === '' ? log.length - 2 : log.findIndex(({ cursor }) => cursor === after)
    if (after === '' ? log.length > 0 : seen >= 0) return { stream, position: dropped + seen + 1 }
    if (start === after && dropped === 0) return { stream, position: 0 }
  }
  return null
}

function wakeAll({ waiting }: Stream): void {
  for (const wake of waiting) wake()
}

async function change({ waiting }: Stream, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  await new Promise<void>((resolve) => {
    const wake = () => {
      waiting.delete(wake)
      signal.removeEventListener('abort', wake)
      resolve()
    }
    waiting.add(wake)
    signal.addEventListener('abort', wake, { once: true })
  })
}
