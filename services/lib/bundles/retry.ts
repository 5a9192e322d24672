import { setTimeout as sleep } from 'node:timers/promises'
import { BundleError } from './errors.ts'

/** How often something over the network is tried again, and how long is waited in between. */
export interface RetryPolicy {
  /** Attempts in a row that may bring nothing. */
  readonly attempts: number
  /** Wait before the second attempt, doubled for each one after it. */
  readonly baseDelayMs: number
  readonly maxDelayMs: number
}

export const defaultRetry: RetryPolicy = { attempts: 6, baseDelayMs: 500, maxDelayMs: 30_000 }

export const stopped = (cause?: unknown): BundleError =>
  new BundleError('aborted', 'The pull was stopped; what has arrived is kept, and the next pull goes on from there.', {
    cause,
  })

/**
 * Runs `attempt` until it succeeds, fails with anything but the fault `network`, or `policy.attempts` in a row have failed.
 * `progressed` is asked after each failure; when it says yes the count starts anew. Throws the last error, or `aborted`.
 */
export async function withRetries<T>(
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
  progressed: () => boolean = () => false,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    if (signal?.aborted) throw stopped(signal.reason)
    try {
      return await attempt()
    } catch (error) {
      if (signal?.aborted) throw stopped(error)
      if (!(error instanceof BundleError) || error.fault !== 'network') throw error
      if (progressed()) failures = 1
      if (failures >= policy.attempts) throw error
      const backoffMs = Math.min(policy.maxDelayMs, policy.baseDelayMs * 2 ** (failures - 1))
      // The server's own wish counts, within bounds: it must not be able to hold a pull for hours.
      const delayMs = Math.max(backoffMs, Math.min(error.retryAfterMs ?? 0, 4 * policy.maxDelayMs))
      await sleep(delayMs, undefined, signal ? { signal } : {}).catch((cause: unknown) => {
        throw stopped(cause)
      })
    }
  }
}
