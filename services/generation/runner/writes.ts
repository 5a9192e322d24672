/**
 * One attempt's writes to the system of record, one after another in the order of asking. After one that failed, or that
 * did nothing because the generation is not this attempt's any more, none is done.
 */
export interface Writes {
  /** A write that the work need not wait for. */
  begin(work: () => Promise<boolean>): void
  /** Resolves once this one and all before it are done. Throws what stopped the writes. */
  write(work: () => Promise<boolean>): Promise<void>
  /** Once all asked for so far are done. Throws what stopped the writes. */
  settled(): Promise<void>
}

/** `onStopped` is told once why no more is written, as soon as that is known: what a write threw, or `fenced`'s reason where it answered false. */
export function createWrites(fenced: () => Error, onStopped: (reason: unknown) => void): Writes {
  let last: Promise<void> = Promise.resolve()
  let isStopped = false
  const begin = (work: () => Promise<boolean>) => {
    last = last.then(async () => {
      if (!(await work())) throw fenced()
    })
    last.catch((reason) => {
      if (isStopped) return
      isStopped = true
      onStopped(reason)
    })
  }
  return {
    begin,
    write(work) {
      begin(work)
      return last
    },
    settled: () => last,
  }
}
