import type { Events } from '../lib/mesh/events/events.ts'
import type { Logger } from '../lib/mesh/log.ts'
import type { WrittenAsset } from './assets/assets.ts'
import { publishProgress, type Snapshot } from './progress.ts'
import type { KeptAsset } from './runner/run-store.ts'
import type { GenerationRow } from './store/generations.ts'

/** What the row says of a generation's progress. */
export function snapshotOf(
  row: GenerationRow,
  now: Date,
  known: Partial<Pick<Snapshot, 'queuePosition' | 'preview' | 'mask'>> = {},
): Snapshot {
  const { id, attempt, status, stage, step, request } = row
  return {
    id,
    attempt,
    status,
    stage,
    step,
    steps: request.steps,
    imageIndex: 0,
    queuePosition: 0,
    etaMs: null,
    preview: null,
    mask: null,
    time: now,
    ...known,
  }
}

/** Publishes what the row says. What can't be published watchers read from the row a little later. */
export async function tell(events: Events, log: Logger, snapshot: Snapshot): Promise<void> {
  try {
    await publishProgress(events, snapshot)
  } catch (error) {
    log.warn({ err: error, generationId: snapshot.id }, 'progress not published')
  }
}

/** An asset as the contract names it. Throws a TypeError for one without a token, which nobody may read. */
export function keptAsset({ token, contentType, widthPx, heightPx, byteLength, key }: WrittenAsset): KeptAsset {
  if (token === null) throw new TypeError(`asset ${key} can't be read by anybody`)
  return { token, contentType, widthPx, heightPx, byteLength }
}
