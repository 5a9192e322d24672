import { and, eq, gte, inArray, lt, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Events } from '../../lib/mesh/events/events.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import type { Assets } from '../assets/assets.ts'
import type { Database, Queries } from '../db/database.ts'
import { checkpoints, type GenerationStatus, generations, images, previews, subjects } from '../db/schema.ts'
import { newId } from '../ids.ts'
import type { CompleteRequest } from '../request.ts'
import type { EndReason, Entered, KeptAsset, NewAsset, PreviewKind, Run, RunStore } from '../runner/run-store.ts'
import { keptAsset, snapshotOf, tell } from '../snapshots.ts'
import { type Ending, endGeneration, idsIn, progressUntil, unfinishedStatuses } from './generations.ts'

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

  /** Locks the row until the commit; false where it is not this attempt's any more. */
  const lockCurrent = async (queries: Queries, run: Run): Promise<boolean> => {
    const locked = await queries.select({ id: generations.id }).from(generations).where(isCurrent(run)).for('update')
    return locked.length > 0
  }

  /** Ends what `condition` holds for, in one transaction with `more`, and tells who watches. */
  const end = async (
    condition: SQL | undefined,
    to: Parameters<typeof endGeneration>[2],
    entered?: readonly Entered[],
    more?: (queries: Queries) => Promise<void>,
  ): Promise<Ending | null> => {
    const ending = await db.transaction(async (queries) => {
      const ended = await endGeneration(queries, condition, to, now(), entered)
      if (ended) await more?.(queries)
      return ended
    })
    if (!ending) return null
    await tell(events, log, snapshotOf(ending.row, now()))
    assets.removeLater(ending.leftovers)
    return ending
  }

  /** What a later attempt goes on from, beside the row that it is of. */
  const checkpointOf = <T>(column: PgColumn): SQL<T | null> =>
    sql`(select ${column} from ${checkpoints} where ${checkpoints.generationId} = ${generations.id})`

  return {
    async begin(id) {
      const canBegin = and(eq(generations.id, id), inArray(generations.status, ['QUEUED', 'RUNNING']))
      const [begun] = await db.run((queries) =>
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
          .from(subjects)
          .where(and(canBegin, lt(generations.attempt, maxAttempts), eq(subjects.id, generations.subjectId)))
          .returning({
            tenant: generations.tenant,
            attempt: generations.attempt,
            request: generations.request,
            subjectId: subjects.id,
            label: subjects.label,
            image: subjects.imageKey,
            mask: subjects.maskKey,
            contentHash: subjects.contentHash,
            checkpointStep: checkpointOf<number>(checkpoints.step),
            checkpointBytes: checkpointOf<Uint8Array>(checkpoints.bytes),
          }),
      )
      if (begun) return runOf(id, begun)
      const isCanceling = and(eq(generations.id, id), eq(generations.status, 'CANCELING'))
      if (await end(isCanceling, { status: 'CANCELED', problem: null })) return null
      await end(and(canBegin, gte(generations.attempt, maxAttempts)), {
        status: 'FAILED',
        problem: givenUp(maxAttempts),
      })
      return null
    },

    async enterStages(run, entered) {
      const reached = await db.run((queries) =>
        queries
          .update(generations)
          .set(progressUntil(entered.at(-1)?.at ?? now(), entered))
          .where(isCurrent(run))
          .returning({ id: generations.id }),
      )
      return reached.length > 0
    },

    async keepStep(run, step, checkpoint, entered) {
      const kept = await db.run((queries) => {
        const reached = queries
          .update(generations)
          // Counted here too, so that what an attempt did before it died is not lost.
          .set({ step, ...progressUntil(now(), entered) })
          .where(isCurrent(run))
          .returning({ id: generations.id })
        if (!checkpoint) return reached
        const current = queries.$with('current').as(reached)
        const values = { step, bytes: checkpoint }
        const bytes = sql`${sql.param(checkpoint, checkpoints.bytes)}::bytea`
        return queries
          .with(current)
          .insert(checkpoints)
          .select(
            queries
              .select({ generationId: current.id, step: sql`${step}::int`.as('step'), bytes: bytes.as('bytes') })
              .from(current),
          )
          .onConflictDoUpdate({ target: checkpoints.generationId, set: values })
          .returning({ id: checkpoints.generationId })
      })
      return kept.length > 0
    },

    async keepPreviews<Kind extends PreviewKind>(run: Run, pictures: Readonly<Record<Kind, NewAsset>>) {
      const kinds = Object.keys(pictures) as Kind[]
      const files = await assets.write(
        run.tenant,
        kinds.map((kind) => pictures[kind]),
      )
      const keys = files.map(({ key }) => key)
      const replaced = await orAbandon(keys, () =>
        db.transaction(async (queries) => {
          if (!(await lockCurrent(queries, run))) return null
          const old = await queries
            .delete(previews)
            .where(and(eq(previews.generationId, run.id), inArray(previews.kind, kinds)))
            .returning({ key: previews.assetKey })
          await queries
            .insert(previews)
            .values(kinds.map((kind, place) => ({ generationId: run.id, kind, assetKey: keys[place]! })))
          const oldKeys = old.map(({ key }) => key)
          await assets.doom(queries, oldKeys)
          await assets.keep(queries, keys)
          return oldKeys
        }),
      )
      assets.removeLater(replaced ?? [])
      if (!replaced) {
        await assets.abandon(keys)
        return null
      }
      const kept = kinds.map((kind, place) => [kind, keptAsset(files[place]!)] as const)
      return Object.fromEntries(kept) as Record<Kind, KeptAsset>
    },

    async succeed(run, pictures, entered) {
      const files = await assets.write(
        run.tenant,
        pictures.flatMap(({ image, mask }) => [image, mask]),
      )
      const keys = files.map(({ key }) => key)
      const rows = pictures.map(({ index, seed, verdict }, place) => ({
        id: newId('img'),
        generationId: run.id,
        index,
        seed,
        imageKey: keys[2 * place]!,
        maskKey: keys[2 * place + 1]!,
        verdict,
      }))
      const succeeded = await orAbandon(keys, () => {
        const done = { status: 'SUCCEEDED', problem: null } as const
        return end(isCurrent(run), done, entered, async (queries) => {
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

interface Begun {
  readonly tenant: string
  readonly attempt: number
  readonly request: CompleteRequest
  readonly subjectId: string
  readonly label: string
  readonly image: string | null
  readonly mask: string | null
  readonly contentHash: string | null
  readonly checkpointStep: number | null
  readonly checkpointBytes: Uint8Array | null
}

/** Null where there is nothing to draw: the subject was rejected. */
function runOf(id: string, begun: Begun): Run | null {
  const { tenant, attempt, request, subjectId, label, image, mask, contentHash, checkpointStep, checkpointBytes } =
    begun
  if (image === null || mask === null || contentHash === null) return null
  const isKept = checkpointStep !== null && checkpointBytes !== null
  return {
    id,
    tenant,
    attempt,
    subject: { id: subjectId, label, image, mask, contentHash },
    request,
    checkpoint: isKept ? { step: checkpointStep, bytes: checkpointBytes } : null,
  }
}

const givenUp = (attempts: number): EndReason => ({
  message: `the generation was begun ${attempts} times and never came to an end`,
  stage: null,
  retryable: true,
  verdict: null,
})
