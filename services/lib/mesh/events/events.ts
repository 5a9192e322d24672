/** One thing that happened, as subscribers get it. */
export interface Event {
  /** Comes back as `after` to get what followed. Opaque, at most 64 characters; its text says nothing of any order. */
  readonly cursor: string
  readonly data: Uint8Array
}

/**
 * What happened to each topic, kept for a while so that it can be had again. Bounded: by age and by number, the oldest
 * go first. Losing all of it loses no truth: every event is a whole snapshot, and the database has the last one.
 */
export interface Events extends AsyncDisposable {
  /**
   * Resolves with the event's cursor once subscribers that come later will get it. A topic is an opaque id, 1 to 128
   * letters, digits, `_` and `-`, else a RangeError. Throws UNAVAILABLE, within seconds, when it can't be kept.
   */
  publish(topic: string, data: Uint8Array): Promise<string>
  /**
   * Everything after the cursor that is still kept, then what happens. Without a cursor, or with one that is not known
   * any more: the latest event if there is one, then what happens. Ends when the signal is aborted. A subscriber that
   * does not read keeps up to `maxQueued` and then loses the oldest: events are snapshots.
   */
  subscribe(topic: string, after: string | null, signal: AbortSignal): AsyncIterable<Event>
}

export interface EventsOptions {
  readonly maxAgeMs: number
  /** Kept of one topic. */
  readonly maxPerTopic: number
  /** Waiting for one subscriber that does not read. */
  readonly maxQueued: number
}

export const defaultEventsOptions: EventsOptions = { maxAgeMs: 3_600_000, maxPerTopic: 2048, maxQueued: 10_000 }

/** Throws a RangeError on a topic that not every implementation can carry. */
export function checkTopic(topic: string): void {
  if (/^[\w-]{1,128}$/.test(topic)) return
  throw new RangeError(`topic is ${JSON.stringify(topic.slice(0, 80))}, allowed are 1 to 128 letters, digits, _ and -`)
}
