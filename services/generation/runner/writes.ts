import type { Entered, Stage } from './run-store.ts'

/**
 * One attempt's writes to the system of record, one after another in the order of asking. After one that failed, or that
 * did nothing because the generation is not this attempt's any more, none is done.
 */
export interface Writes {
  /** A stage is entered now; it is written with the next write, or soon. The stage's work need not wait for that. */
  enter(stage: Stage): void
  /** Resolves once this one and all before it are done. It is given the stages to be written with it. Throws what stopped the writes. */
  write(work: (entered: readonly Entered[]) => Promise<boolean>): Promise<void>
  /** Once all that was entered or asked for so far is written. Throws what stopped the writes. */
  settled(): Promise<void>
}

export interface WritesOptions {
  /** Writes stages that nothing else is written with. */
  enterStages(entered: readonly Entered[]): Promise<boolean>
  /** What is thrown where a write did nothing. */
  fenced(): Error
  /** Told once why no more is written, as soon as that is known: what a write threw, or what `fenced` answered. */
  onStopped(reason: unknown): void
}

/** A stage waits so long for what else is to be written: short ones need no write of their own, events tell of them at once. */
const stageWaitMs = 25

export function createWrites({ enterStages, fenced, onStopped }: WritesOptions): Writes {
  const entered: Entered[] = []
  let timer: NodeJS.Timeout | undefined
  let last: Promise<void> = Promise.resolve()
  let isStopped = false

  const add = (work: () => Promise<boolean>): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    last = last.then(async () => {
      if (!(await work())) throw fenced()
    })
    last.catch((reason) => {
      if (isStopped) return
      isStopped = true
      onStopped(reason)
    })
    return last
  }
  const flush = () => add(async () => entered.length === 0 || enterStages(entered.splice(0)))

  return {
    enter(stage) {
      entered.push({ stage, at: new Date() })
      timer ??= setTimeout(flush, stageWaitMs)
    },
    write: (work) => add(() => work(entered.splice(0))),
    settled: () => flush(),
  }
}
