import { setImmediate as turn } from 'node:timers/promises'
import type { Events } from '../../lib/mesh/events/events.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import { publishProgress, type Snapshot } from '../progress.ts'

/**
 * Publishes one generation's snapshots in order, beside the work, which never waits for them. Each is whole: when they
 * can't be published as fast as they come, the oldest that wait are left out.
 */
export interface Reports {
  say(snapshot: Snapshot): void
  /** Once all are published, or could not be. */
  settled(): Promise<void>
}

const maxWaiting = 64

export function createReports(events: Events, log: Logger): Reports {
  const waiting: Snapshot[] = []
  let publishing: Promise<void> | null = null
  const publish = async () => {
    // What the work asks of others now goes out first.
    await turn()
    for (let snapshot = waiting.shift(); snapshot; snapshot = waiting.shift()) {
      await publishProgress(events, snapshot).catch((err) => {
        // Who watches reads the row meanwhile, and is served by the newest alone once events are back.
        log.warn({ err }, 'progress is not published')
        waiting.splice(0, waiting.length - 1)
      })
    }
    publishing = null
  }
  return {
    say(snapshot) {
      waiting.push(snapshot)
      if (waiting.length > maxWaiting) waiting.shift()
      publishing ??= publish()
    },
    async settled() {
      await publishing
    },
  }
}
