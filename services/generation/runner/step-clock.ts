/** Tells from the steps so far how long the rest will take. */
export interface StepClock {
  /** A step was done just now; milliseconds to the last one, null as long as no step was measured whole. */
  stepped(step: number): number | null
}

/** The mean of this many last steps: what a busy machine did long ago says little. */
const measured = 8

export function createStepClock(steps: number, now: () => number = () => performance.now()): StepClock {
  const ends: number[] = []
  return {
    stepped(step) {
      ends.push(now())
      if (ends.length > measured + 1) ends.shift()
      // What went before the first step of this attempt was no step alone.
      if (ends.length < 2) return null
      return ((ends.at(-1)! - ends[0]!) / (ends.length - 1)) * Math.max(steps - step, 0)
    },
  }
}
