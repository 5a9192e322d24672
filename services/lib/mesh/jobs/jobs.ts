/**
 * Hands out work by id. What an id means, and whether it is still to be done, the database knows: work may be handed out
 * twice, and all of it may be lost and added again.
 */
export interface Jobs extends AsyncDisposable {
  /** Adds a job; one that waits already is not added again. */
  add(id: string): Promise<void>
  /** The next job, in the order of adding; null once the signal is aborted. */
  next(signal: AbortSignal): Promise<Job | null>
}

/** A job that was handed out. Without a sign of life for `ackWaitMs` it is handed out again, `maxDeliveries` times in all. */
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
