import { inArray } from 'drizzle-orm'
import type { Jobs } from '../lib/mesh/jobs/jobs.ts'
import type { Logger } from '../lib/mesh/log.ts'
import type { Assets } from './assets/assets.ts'
import type { Database } from './db/database.ts'
import { generations } from './db/schema.ts'
import { createTidying, type TidyingOptions } from './db/tidying.ts'
import type { GenerationLimits } from './limits.ts'
import { noQueueMetrics, type QueueMetrics } from './queue-metrics.ts'
import { deleteGenerations, findEndedBefore, findQueue, findQueuedBefore } from './store/generations.ts'
import { deleteExpiredUploads } from './store/uploads.ts'

export interface SweepOptions {
  readonly db: Database
  readonly assets: Assets
  readonly jobs: Jobs
  readonly limits: GenerationLimits
  readonly log: Logger
  readonly metrics?: QueueMetrics
  now(): Date
  readonly everyMs?: number
  readonly tidying?: TidyingOptions
}

/** Of each kind, a round. */
const batch = 200

/** Waiting for longer than this, a generation is put into the queue again: it may never have got there. */
const queuedForMs = 60_000

/**
 * Shows how much waits; takes away what nobody will: uploads whose time is over, files that were left behind, ended
 * generations after their retention; and puts back into the queue what waits. A round is bounded, and several copies may
 * sweep at once.
 */
export async function sweepOnce(options: SweepOptions): Promise<void> {
  const { db, assets, jobs, limits, metrics = noQueueMetrics, now } = options
  const { waiting: count, since } = await db.run(findQueue)
  metrics.waiting(count, since)

  const uploaded = await db.transaction(async (queries) => {
    const keys = await deleteExpiredUploads(queries, now(), batch)
    await assets.doom(queries, keys)
    return keys
  })
  await assets.remove(uploaded)

  const { retentionMs } = limits
  if (retentionMs !== null) {
    const before = new Date(now().getTime() - retentionMs)
    const ended = await db.transaction(async (queries) => {
      const ids = await findEndedBefore(queries, before, batch)
      return ids.length === 0 ? [] : (await deleteGenerations(queries, inArray(generations.id, ids))).keys
    })
    await assets.remove(ended)
  }

  await assets.sweep(batch)

  const waiting = new Date(now().getTime() - queuedForMs)
  for (const id of await db.run((queries) => findQueuedBefore(queries, waiting, batch))) await jobs.add(id)
}

/** Sweeps now and every minute until it is disposed, and keeps an embedded database from growing. */
export function startSweeping(options: SweepOptions): AsyncDisposable {
  const { db, log, everyMs = 60_000 } = options
  const tidy = createTidying(db, options.tidying)
  let sweeping = Promise.resolve()
  let isSweeping = false
  const sweep = () => {
    if (isSweeping) return
    isSweeping = true
    sweeping = sweepOnce(options)
      .then(async () => {
        const start = performance.now()
        if (await tidy()) log.debug({ ms: Math.round(performance.now() - start) }, 'database tidied up')
      })
      .catch((error: unknown) => log.warn({ err: error }, 'sweep failed'))
      .finally(() => {
        isSweeping = false
      })
  }
  sweep()
  const timer = setInterval(sweep, everyMs).unref()
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await sweeping
    },
  }
}
