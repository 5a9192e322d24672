/** One thing that happened, as subscribers get it. */
export interface Event {
  /** Comes back as `after` to get what followed. Opaque; greater events have no greater text. */
  readonly cursor: string
  readonly data: Uint8Array
}

/**
 * What happened to each topic, kept for a while so that it can be had again. A topic is an opaque id. Bounded: by age and by number,
 * the oldest go first. Losing all of it loses no truth: every event is a whole snapshot, and the database has the last one.
 */
export interface Events extends AsyncDisposable {
  /** Resolves once subscribers that come later will get it. */
  publish(topic: string, data: Uint8Array): Promise<string>
  /**
   * Everything after the cursor, then what happens. Without a cursor, or with one that is not known any more: the latest
   * event if there is one, then what happens. Ends when the signal is aborted. A subscriber that does not read keeps up
   * to a bound and then loses the oldest: events are snapshots.
   */
  subscribe(topic: string, after: string | null, signal: AbortSignal): AsyncIterable<Event>
}
