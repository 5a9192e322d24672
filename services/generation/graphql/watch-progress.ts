import { setTimeout as sleep } from 'node:timers/promises'
import { MeshError } from '../../lib/mesh/errors.ts'
import type { Progress__Output as Progress } from '../../lib/mesh/generated/moma/generation/v1/Progress.ts'
import type { GenerationClient } from '../client.ts'

/** Waits between attempts to go on with a stream that broke; a snapshot in between starts them anew. */
const resumeDelaysMs = [100, 300, 1000, 3000, 5000]

/** How a stream ends that can be taken up where it ended: its server went away, or it had lasted as long as one may. */
const resumable: ReadonlySet<string> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED'])

export interface WatchRequest {
  readonly tenant: string
  readonly id: string
  /** Cursor of the last snapshot that was seen; '' for the latest. */
  readonly after: string
}

/**
 * Snapshots of a generation's progress, ending with it. When the service goes away in the middle the stream goes on
 * from the last cursor, so nobody who watches misses anything.
 */
export async function* watchProgress(
  generation: Pick<GenerationClient, 'watchGeneration'>,
  { tenant, id, after }: WatchRequest,
  signal: AbortSignal,
): AsyncGenerator<Progress, void, undefined> {
  let last = after
  for (let failures = 0; ; failures++) {
    try {
      for await (const { progress } of generation.watchGeneration({ tenant, id, after: last }, signal)) {
        if (!progress) continue
        failures = 0
        last = progress.cursor
        yield progress
      }
      return
    } catch (error) {
      const delayMs = resumeDelaysMs[failures]
      if (!(error instanceof MeshError) || !resumable.has(error.code) || delayMs === undefined) throw error
      await sleep(delayMs, undefined, { signal })
    }
  }
}
