/** One copy of a service: what clients call, by whatever way it is reached. */
export interface Copy {
  readonly address: string
  /**
   * The answers of one call, one where the method has one. `input` is the request, or what makes the stream of them;
   * what that throws ends the call with CANCELLED. Leaving the loop cancels the call.
   */
  call(method: string, input: unknown, limits: CallLimits): AsyncIterable<unknown>
  /** Tells whether it serves, at first and after every change, until the signal is aborted. */
  watch(signal: AbortSignal, tell: (serving: boolean, why: string) => void): void
  /** Ends all calls. */
  close(): void
}

export interface CallLimits {
  /** As Date.now(). */
  readonly deadline: number
  readonly signal: AbortSignal | undefined
}

/** What makes the requests of a client stream. */
export type Requests = () => Iterable<unknown> | AsyncIterable<unknown>
