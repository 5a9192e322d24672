import { and, eq, gte, inArray, lt, type SQL, sql } from 'drizzle-orm'
import type { Events } from '../../lib/mesh/events/events.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import type { Assets } from '../assets/assets.ts'
import type { Database, Queries } from '../db/database.ts'
import { checkpoints, type GenerationStatus, generations, images, previews, subjects } from '../db/schema.ts'
import { newId } from '../ids.ts'
import type { EndReason, NewAsset, Run, RunStore } from '../runner/run-store.ts'
import { keptAsset, snapshotOf, tell } from '../snapshots.ts'
import {
  type Ending,
  endGeneration,
  type GenerationRow,
  idsIn,
  timingsUntil,
  unfinishedStatuses,
} from './generations.ts'

export interface RunStoreOptions {
  readonly db: Database
  readonly assets: Assets
  readonly events: Events
  readonly log: Logger
  now(): Date
  /** Attempts at one generation before it is given up. */
  readonly maxAttempts: number
}

/** The system of record as a runner sees it. Ended snapshots are published here; running ones are the runner's to publish. */
export function createRunStore({ db, assets, events, log, now, maxAttempts }: RunStoreOptions): RunStore {
  /** Fencing: only what belongs to the latest attempt, and only while nobody has asked it to stop. */
  const isCurrent = ({ id, attempt }: Run, statuses: readonly GenerationStatus[] = ['RUNNING']): SQL | undefined =>
    and(eq(generations.id, id), eq(generations.attempt, attempt), inArray(generations.status, [...statuses]))

  /** The row, locked until the commit; null where it is not this attempt's any more. */
  const lockCurrent = async (queries: Queries, run: Run): Promise<GenerationRow | null> => {
    const [row] = await queries.select().from(generations).where(isCurrent(run)).for('update')
    return row ?? null
  }

  /** Ends what `condition` holds for, in one transaction with `more`, and tells who watches. */
  const end = async (
    condition: SQL | undefined,
    to: Parameters<typeof endGeneration>[2],
    more?: (queries: Queries) => Promise<void>,
  ): Promise<Ending | null> => {
    const ending = await db.transaction(async (queries) => {
      const ended = await endGeneration(queries, condition, to, now())
      if (!ended) return null
      await assets.doom(queries, ended.leftovers)
      await more?.(queries)
      return ended
    })
    if (!ending) return null
    await tell(events, log, snapshotOf(ending.row, now()))
    await assets.remove(ending.leftovers)
    return ending
  }

  const runOf = async (row: GenerationRow): Promise<Run | null> => {
    const found = await db.run((queries) =>
      queries
        .select({ subject: subjects, checkpoint: { step: checkpoints.step, bytes: checkpoints.bytes } })
        .from(subjects)
        .leftJoin(checkpoints, eq(checkpoints.generationId, row.id))
        .where(eq(subjects.id, row.subjectId)),
    )
    const { subject, checkpoint } = found[0] ?? {}
    // Deleted meanwhile, the generation with it.
    if (!subject?.imageKey || !subject.maskKey || subject.contentHash === null) return null
    const { id, label, imageKey: image, maskKey: mask, contentHash } = subject
    return {
      id: row.id,
      tenant: row.tenant,
      attempt: row.attempt,
      subject: { id, label, image, mask, contentHash },
      request: row.request,
      checkpoint: checkpoint ?? null,
    }
  }

  return {
    async begin(id) {
      const canBegin = and(eq(generations.id, id), inArray(generations.status, ['QUEUED', 'RUNNING']))
      const [row] = await db.run((queries) =>
        queries
          .update(generations)
          .set({
            status: 'RUNNING',
            attempt: sql`${generations.attempt} + 1`,
            stage: null,
            stageStartedAt: null,
            step: 0,
            startedAt: sql`coalesce(${generations.startedAt}, ${now().toISOString()}::timestamptz)`,
          })
          .where(and(canBegin, lt(generations.attempt, maxAttempts)))
          .returning(),
      )
      if (row) return runOf(row)
      const isCanceling = and(eq(generations.id, id), eq(generations.status, 'CANCELING'))
      if (await end(isCanceling, { status: 'CANCELED', problem: null })) return null
      await end(and(canBegin, gte(generations.attempt, maxAttempts)), {
        status: 'FAILED',
        problem: givenUp(maxAttempts),
      })
      return null
    },

    async enterStage(run, stage) {
      const entered = await db.run((queries) =>
        queries
          .update(generations)
          .set({ stage, timings: timingsUntil(now()), stageStartedAt: now() })
          .where(isCurrent(run))
          .returning({ id: generations.id }),
      )
      return entered.length > 0
    },

    async keepStep(run, step, checkpoint) {
      return db.transaction(async (queries) => {
        const kept = await queries
          .update(generations)
          // Counted here too, so that what an attempt did before it died is not lost.
          .set({ step, timings: timingsUntil(now()), stageStartedAt: now() })
          .where(isCurrent(run))
          .returning({ id: generations.id })
        if (kept.length === 0) return false
        if (checkpoint) {
          const values = { step, bytes: checkpoint }
          await queries
            .insert(checkpoints)
            .values({ generationId: run.id, ...values })
            .onConflictDoUpdate({ target: checkpoints.generationId, set: values })
        }
        return true
      })
    },

    async keepPreview(run, kind, asset) {
      const written = await assets.write(run.tenant, asset)
      const replaced = await orAbandon([written.key], () =>
        db.transaction(async (queries) => {
          if (!(await lockCurrent(queries, run))) return null
          const place = and(eq(previews.generationId, run.id), eq(previews.kind, kind))
          const old = await queries.delete(previews).where(place).returning()
          await queries.insert(previews).values({ generationId: run.id, kind, assetKey: written.key })
          const keys = old.map(({ assetKey }) => assetKey)
          await assets.doom(queries, keys)
          await assets.keep(queries, [written.key])
          return keys
        }),
      )
      await assets.remove(replaced ?? [])
      if (!replaced) await assets.abandon([written.key])
      return replaced && keptAsset(written)
    },

    async succeed(run, pictures) {
      const keys: string[] = []
      const write = async (asset: NewAsset): Promise<string> => {
        const { key } = await assets.write(run.tenant, asset)
        keys.push(key)
        return key
      }
      const succeeded = await orAbandon(keys, async () => {
        const rows: (typeof images.$inferInsert)[] = []
        for (const { index, seed, image, mask, verdict } of pictures) {
          const [imageKey, maskKey] = [await write(image), await write(mask)]
          rows.push({ id: newId('img'), generationId: run.id, index, seed, imageKey, maskKey, verdict })
        }
        const done = { status: 'SUCCEEDED', problem: null } as const
        return end(isCurrent(run), done, async (queries) => {
          await assets.keep(queries, keys)
          await queries.insert(images).values(rows)
        })
      })
      if (!succeeded) await assets.abandon(keys)
      return succeeded !== null
    },

    async end(run, status, reason) {
      const isCanceling = sql`${generations.status} = 'CANCELING'`
      const to = {
        status: sql`case when ${isCanceling} then 'CANCELED' else ${status} end`,
        problem: sql`case when ${isCanceling} then null else ${reason && JSON.stringify(reason)}::jsonb end`,
      }
      return (await end(isCurrent(run, ['RUNNING', 'CANCELING']), to)) !== null
    },

    async isStopped(run) {
      const [row] = await db.run((queries) =>
        queries.select({ id: generations.id }).from(generations).where(isCurrent(run)),
      )
      return row === undefined
    },

    unfinished: () => idsIn(db.run, unfinishedStatuses),
    readAsset: (key) => assets.read(key),
  }

  async function orAbandon<T>(keys: readonly string[], work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      await assets.abandon(keys)
      throw error
    }
  }
}

const givenUp = (attempts: number): EndReason => ({
  message: `the generation was begun ${attempts} times and never came to an end`,
  stage: null,
  retryable: true,
  verdict: null,
})
