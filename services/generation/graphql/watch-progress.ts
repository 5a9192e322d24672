import { setTimeout as sleep } from 'node:timers/promises'
import { MeshError } from '../../lib/mesh/errors.ts'
import type { Progress__Output as Progress } from '../../lib/mesh/generated/moma/generation/v1/Progress.ts'
import type { GenerationContext } from '../subgraph.ts'

/** Waits between attempts to go on with a stream that broke; a snapshot in between starts them anew. */
const resumeDelaysMs = [100, 300, 1000, 3000, 5000]

/**
 * Snapshots of a generation's progress after the one with cursor `after` ('' for the latest). When the service goes
 * away in the middle the stream goes on from the last cursor, so nobody who watches misses anything.
 */
export async function* watchProgress(
  { tenant, generation, signal }: Pick<GenerationContext, 'tenant' | 'generation' | 'signal'>,
  id: string,
  after: string,
): AsyncGenerator<Progress> {
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
      if (!(error instanceof MeshError) || error.code !== 'UNAVAILABLE' || delayMs === undefined) throw error
      await sleep(delayMs, undefined, { signal })
    }
  }
}
