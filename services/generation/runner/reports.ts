import { setImmediate as turn } from 'node:timers/promises'
import type { Events } from '../../lib/mesh/events/events.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import { publishProgress, type Snapshot } from '../progress.ts'

/**
 * Publishes one generation's snapshots in order, beside the work, which never waits for them. Each is whole: when they
 * can't be published as fast as they come, the oldest that wait are left out, and so are those between two steps that the
 * next follows too soon for anybody to see.
 */
export interface Reports {
  say(snapshot: Snapshot): void
  /** What still waits is not told any more. */
  forget(): void
  /** Once all are published, or could not be. Nothing is to be said after it. */
  settled(): Promise<void>
}

interface Said {
  readonly snapshot: Snapshot
  readonly at: number
}

const maxWaiting = 64

/** What is said no step further than what was told waits for so long, and gives way to what comes meanwhile. */
const seenMs = 10

export function createReports(events: Events, log: Logger): Reports {
  const waiting: Said[] = []
  let publishing: Promise<void> | null = null
  let toldStep = -1
  /** Nothing is waited for any more. */
  let isOver = false
  let wake = () => {}

  /** Until it may be told. */
  const leftMs = ({ snapshot, at }: Said) => (snapshot.step === toldStep ? at + seenMs - performance.now() : 0)

  const publish = async () => {
    // What the work asks of others now goes out first.
    await turn()
    for (let said = waiting[0]; said; said = waiting[0]) {
      const ms = leftMs(said)
      if (ms > 0 && waiting.length === 1 && !isOver) {
        await new Promise<void>((resolve) => {
          wake = resolve
          setTimeout(resolve, ms)
        })
        continue
      }
      waiting.shift()
      if (ms > 0 && waiting.length > 0) continue
      toldStep = said.snapshot.step
      await publishProgress(events, said.snapshot).catch((err) => {
        // Who watches reads the row meanwhile, and is served by the newest alone once events are back.
        log.warn({ err }, 'progress is not published')
        waiting.splice(0, waiting.length - 1)
      })
    }
    publishing = null
  }
  return {
    say(snapshot) {
      waiting.push({ snapshot, at: performance.now() })
      if (waiting.length > maxWaiting) waiting.shift()
      publishing ??= publish()
      wake()
    },
    forget() {
      waiting.length = 0
      wake()
    },
    async settled() {
      isOver = true
      wake()
      await publishing
    },
  }
}
