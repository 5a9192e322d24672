/** One run of a network, by `now`. */
export interface NetworkRun {
  readonly name: string
  readonly started: number
  readonly ended: number
}

/** Milliseconds of a clock that all processes of the machine share. */
export const now = () => Number(process.hrtime.bigint()) / 1e6

/** Asks the services for the runs since the last time. */
export const runsWanted = 'runs'

/** Milliseconds in which at least one of the runs was under way. */
export function unionMs(runs: readonly NetworkRun[]): number {
  let sum = 0
  let until = Number.NEGATIVE_INFINITY
  for (const { started, ended } of runs.toSorted((a, b) => a.started - b.started)) {
    sum += Math.max(0, ended - Math.max(started, until))
    until = Math.max(until, ended)
  }
  return sum
}
