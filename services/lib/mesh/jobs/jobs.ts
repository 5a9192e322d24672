/**
 * Hands out work by id. What an id means, and whether it is still to be done, the database knows: work may be handed out
 * twice, and all of it may be lost and added again.
 */
export interface Jobs extends AsyncDisposable {
  /**
   * Adds a job; one that waits or is being worked on is not added again. Ids are 1 to 128 of letters, digits, `_` and
   * `-`, else a RangeError. Throws UNAVAILABLE, within seconds, when it can't be added.
   */
  add(id: string): Promise<void>
  /**
   * The next job, in the order of adding; null once the signal is aborted. It waits as long as there is none, or none
   * can be had.
   */
  next(signal: AbortSignal): Promise<Job | null>
}

/**
 * A job that was handed out. Without a sign of life for `ackWaitMs` it is handed out again, `maxDeliveries` times in
 * all; then it is forgotten, and may be added again. None of these throws: what can't be told is made up for by time.
 */
export interface Job {
  readonly id: string
  /** From 1. */
  readonly delivery: number
  /** A sign of life. */
  working(): void
  /** It is done, or there is nothing to do: never again. */
  done(): Promise<void>
  /** It is handed out again after `delayMs`. */
  again(delayMs: number): Promise<void>
}

export interface JobsOptions {
  readonly ackWaitMs: number
  readonly maxDeliveries: number
  /** Jobs handed out at once, over all copies of the service. */
  readonly maxPending: number
}

export const defaultJobsOptions: JobsOptions = { ackWaitMs: 30_000, maxDeliveries: 5, maxPending: 64 }

/** Throws a RangeError on an id that not every implementation can carry. */
export function checkJobId(id: string): void {
  if (/^[\w-]{1,128}$/.test(id)) return
  throw new RangeError(`job id is ${JSON.stringify(id.slice(0, 80))}, allowed are 1 to 128 letters, digits, _ and -`)
}
