import { invalid, MeshError } from '../lib/mesh/errors.ts'
import type { Event, Events } from '../lib/mesh/events/events.ts'
import type { Progress } from '../lib/mesh/generated/moma/generation/v1/Progress.ts'
import type { Logger } from '../lib/mesh/log.ts'
import type { Database } from './db/database.ts'
import {
  comparePositions,
  decodeProgress,
  formatCursor,
  isEnded,
  isEndedMessage,
  isEndedPosition,
  type Position,
  parseCursor,
  positionOf,
  progressMessage,
} from './progress.ts'
import { stages } from './runner/run-store.ts'
import { keptAsset, snapshotOf } from './snapshots.ts'
import { findGeneration, findPreviews, type QueuedGeneration } from './store/generations.ts'

export interface WatchOptions {
  readonly db: Database
  readonly events: Events
  readonly log: Logger
  now(): Date
  /** After so much silence, and up to four times as much where it goes on, the row is looked at: it has what was never published. */
  readonly quietMs?: number
}

/**
 * Snapshots of a generation's progress, none of which goes back behind an earlier one: without a cursor the row's at
 * once, then what is published; with one, everything published after it. Ends after an ended one. Throws NOT_FOUND for
 * an id that is unknown or gone, INVALID_ARGUMENT for a cursor that is none.
 */
export type Watch = (
  request: { readonly tenant: string; readonly id: string; readonly after: string },
  signal: AbortSignal,
) => AsyncGenerator<Progress>

export function createWatch({ db, events, log, now, quietMs = 2000 }: WatchOptions): Watch {
  const read = (tenant: string, id: string) => db.run((queries) => findGeneration(queries, tenant, id))

  const rowMessage = async (row: QueuedGeneration, event: string | null): Promise<Progress> => {
    const { preview, mask } = mayHavePreviews(row)
      ? await db.run((queries) => findPreviews(queries, row.id))
      : { preview: null, mask: null }
    const known = {
      queuePosition: row.queuePosition,
      preview: preview && keptAsset(preview),
      mask: mask && keptAsset(mask),
    }
    return progressMessage(snapshotOf(row, now(), known), event)
  }

  return async function* watch({ tenant, id, after }, signal) {
    const cursor = after === '' ? null : parseCursor(after)
    if (after !== '' && !cursor) throw invalid('after', after, 'a cursor of an earlier snapshot')
    let position: Position | null = cursor?.position ?? null
    let event: string | null = cursor?.event ?? null
    let queuePosition: number | null = null

    const stop = new AbortController()
    const subscribe = () => {
      const subscription = events.subscribe(id, event, AbortSignal.any([stop.signal, signal]))[Symbol.asyncIterator]()
      return () => settled(subscription.next())
    }
    // Listening begins before the row is read, so nothing falls in between.
    let take: (() => Promise<Taken>) | null = subscribe()
    let taken: Promise<Taken> | null = take()

    const isFurther = (row: QueuedGeneration): boolean => {
      if (position === null || comparePositions(positionOf(row), position) > 0) return true
      return row.status === 'QUEUED' && queuePosition !== null && row.queuePosition !== queuePosition
    }

    try {
      let row = await read(tenant, id)
      if (!row) throw unknown(id)
      if (position && isEndedPosition(position)) return
      // With a place among the events, what was published since comes first, in its order.
      let isLookedAt = event === null
      let silences = 0
      for (;;) {
        if (isLookedAt) {
          const message = isFurther(row) ? await rowMessage(row, event).catch(ignoreUnavailable) : null
          if (message) {
            position = positionOf(row)
            silences = 0
            yield message
          }
          if (message !== undefined && isEnded(row.status)) return
          queuePosition = row.queuePosition
        }
        isLookedAt = false
        const heard: Taken | null = await within(taken, quietMs * Math.min(2 ** silences, 4), signal)
        if (heard === null) {
          silences++
          // Published progress goes on while the database is away.
          const found: QueuedGeneration | null | undefined = await read(tenant, id).catch(ignoreUnavailable)
          if (found === null) throw unknown(id)
          if (found) row = found
          isLookedAt = found !== undefined
          if (!taken) {
            take = subscribe()
            taken = take()
          }
          continue
        }
        if (!('event' in heard)) {
          signal.throwIfAborted()
          log.warn({ err: heard.error, generationId: id }, 'no events, the row is looked at instead')
          taken = null
          continue
        }
        taken = take!()
        silences = 0
        event = heard.event.cursor
        const decoded = decodeProgress(heard.event.data, event)
        if (!decoded || (position && comparePositions(decoded.position, position) < 0)) continue
        position = decoded.position
        yield { ...decoded.progress, cursor: formatCursor({ position, event }) }
        if (isEndedMessage(decoded.progress)) return
      }
    } finally {
      stop.abort()
    }
  }
}

type Taken = { readonly event: Event } | { readonly error: unknown }

/** An event, or why there is none. */
async function settled(next: Promise<IteratorResult<Event>>): Promise<Taken> {
  try {
    const { done, value } = await next
    return done ? { error: new Error('the events have ended') } : { event: value }
  } catch (error) {
    return { error }
  }
}

/** What comes within the time; null for nothing. Throws the signal's reason. */
async function within<T>(promise: Promise<T> | null, ms: number, signal: AbortSignal): Promise<T | null> {
  signal.throwIfAborted()
  const { promise: over, resolve, reject } = Promise.withResolvers<null>()
  const timer = setTimeout(resolve, ms, null)
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await (promise ? Promise.race([promise, over]) : over)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}

/** An attempt keeps previews while it draws; they go with its end. */
function mayHavePreviews({ status, stage }: QueuedGeneration): boolean {
  return !isEnded(status) && stage !== null && stages.indexOf(stage) >= stages.indexOf('DENOISE')
}

const unknown = (id: string) => new MeshError('NOT_FOUND', `there is no generation ${JSON.stringify(id.slice(0, 80))}`)

function ignoreUnavailable(error: unknown): undefined {
  if (error instanceof MeshError && error.code === 'UNAVAILABLE') return undefined
  throw error
}
