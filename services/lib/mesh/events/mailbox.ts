/** What waits for one reader: at most `bound` items, the oldest go first. */
export interface Mailbox<T> {
  put(items: readonly T[]): void
  /** Waits for items; ends when the signal is aborted, whatever waits then. For one reader. */
  read(signal: AbortSignal): AsyncGenerator<T>
}

export function createMailbox<T>(bound: number): Mailbox<T> {
  const waiting: T[] = []
  let wake: () => void = () => undefined
  return {
    put(items) {
      waiting.push(...items)
      if (waiting.length > bound) waiting.splice(0, waiting.length - bound)
      wake()
    },
    async *read(signal) {
      const onAbort = () => wake()
      signal.addEventListener('abort', onAbort)
      try {
        while (!signal.aborted) {
          if (waiting.length > 0) {
            yield waiting.shift()!
            continue
          }
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
      } finally {
        signal.removeEventListener('abort', onAbort)
      }
    },
  }
}
