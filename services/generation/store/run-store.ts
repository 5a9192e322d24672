import { and, eq, gte, inArray, lt, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import type { Events } from '../../lib/mesh/events/events.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import { type Assets, keeping, requireKept } from '../assets/assets.ts'
import type { Database, Queries } from '../db/database.ts'
import { momentOf, prepared, rowPlaces, rowValues } from '../db/prepared.ts'
import { checkpoints, type GenerationStatus, generations, images, previews, subjects } from '../db/schema.ts'
import { newId } from '../ids.ts'
import type { CompleteRequest } from '../request.ts'
import type { EndReason, Entered, KeptAsset, NewAsset, PreviewKind, Run, RunStore } from '../runner/run-store.ts'
import { keptAsset, snapshotOf, tell } from '../snapshots.ts'
import {
  type End,
  type Ending,
  endGeneration,
  ending,
  forgetting,
  idsIn,
  type ProgressName,
  progressUntil,
  progressValues,
  unfinishedStatuses,
} from './generations.ts'

export interface RunStoreOptions {
  readonly db: Database
  readonly assets: Assets
  readonly events: Events
  readonly log: Logger
  now(): Date
  /** Attempts at one generation, without getting further in between, before it is given up. */
  readonly maxAttempts: number
  /** Name of the bundle that draws: checkpoints of another one are none. */
  readonly bundle: string
}

type RunName = 'id' | 'attempt'
type Value<Name extends string> = (name: Name) => Placeholder

/** Fencing: only what belongs to the latest attempt, and only while nobody has asked it to stop. */
const isCurrent = (value: Value<RunName>, statuses: readonly GenerationStatus[] = ['RUNNING']): SQL | undefined =>
  and(
    eq(generations.id, value('id')),
    eq(generations.attempt, value('attempt')),
    inArray(generations.status, [...statuses]),
  )

const canBegin = (value: Value<'id'>): SQL | undefined =>
  and(eq(generations.id, value('id')), inArray(generations.status, ['QUEUED', 'RUNNING']))

/** What a later attempt goes on from, beside the row that it is of. */
const checkpointOf = <T>(column: PgColumn, bundle: Placeholder): SQL<T | null> =>
  sql`(select ${column} from ${checkpoints}
    where ${checkpoints.generationId} = ${generations.id} and ${checkpoints.bundle} = ${bundle})`

const begin = prepared((queries, value: Value<'id' | 'now' | 'maxAttempts' | 'bundle'>) =>
  queries
    .update(generations)
    .set({
      status: 'RUNNING',
      attempt: sql`${generations.attempt} + 1`,
      // Counted before anything goes wrong: a process that is killed has no time for it.
      faults: sql`${generations.faults} + 1`,
      stage: null,
      stageStartedAt: null,
      step: 0,
      startedAt: sql`coalesce(${generations.startedAt}, ${momentOf(value('now'))})`,
    })
    .from(subjects)
    .where(and(canBegin(value), lt(generations.faults, value('maxAttempts')), eq(subjects.id, generations.subjectId)))
    .returning({
      tenant: generations.tenant,
      attempt: generations.attempt,
      faults: generations.faults,
      request: generations.request,
      subjectId: subjects.id,
      label: subjects.label,
      image: subjects.imageKey,
      mask: subjects.maskKey,
      contentHash: subjects.contentHash,
      policyVersion: sql<string>`${subjects.verdict} ->> 'policyVersion'`,
      checkpointStep: checkpointOf<number>(checkpoints.step, value('bundle')),
      checkpointBytes: checkpointOf<Uint8Array>(checkpoints.bytes, value('bundle')),
    }),
)

/** The end that was asked for while nobody worked on it. */
const endCanceling = ending((value: Value<'id'>) => ({
  condition: and(eq(generations.id, value('id')), eq(generations.status, 'CANCELING')),
  status: 'CANCELED',
  problem: null,
}))

const giveUp = ending((value: Value<'id' | 'maxAttempts' | 'problem'>) => ({
  condition: and(canBegin(value), gte(generations.faults, value('maxAttempts'))),
  status: 'FAILED',
  problem: sql`${value('problem')}::jsonb`,
}))

const endSucceeded = ending((value: Value<RunName>) => ({
  condition: isCurrent(value),
  status: 'SUCCEEDED',
  problem: null,
}))

const endOtherwise = ending((value: Value<RunName | 'status' | 'problem'>) => {
  const isCanceling = sql`${generations.status} = 'CANCELING'`
  return {
    condition: isCurrent(value, ['RUNNING', 'CANCELING']),
    status: sql`case when ${isCanceling} then 'CANCELED' else ${value('status')} end`,
    problem: sql`case when ${isCanceling} then null else ${value('problem')}::jsonb end`,
  }
})

const enter = prepared((queries, value: Value<RunName | ProgressName>, entered) =>
  queries
    .update(generations)
    .set(progressUntil(value, entered))
    .where(isCurrent(value))
    .returning({ id: generations.id }),
)

const reach = (
  queries: Queries,
  value: Value<RunName | ProgressName | 'step'>,
  entered: number,
  more: ReturnType<typeof gotFurther> | null,
) =>
  queries
    .update(generations)
    // Counted here too, so that what an attempt did before it died is not lost.
    .set({ step: sql`${value('step')}::int`, ...more, ...progressUntil(value, entered) })
    .where(isCurrent(value))
    .returning({ id: generations.id })

/** Beyond all checkpoints before, not the latest alone: one that can't be read again would be progress over and over. */
const gotFurther = (value: Value<'step'>) => {
  const step = sql`${value('step')}::int`
  return {
    faults: sql`case when ${step} > ${generations.furthestStep} then 1 else ${generations.faults} end`,
    furthestStep: sql`greatest(${generations.furthestStep}, ${step})`,
  }
}

const keepStep = prepared((queries, value: Value<RunName | ProgressName | 'step'>, entered) =>
  reach(queries, value, entered, null),
)

const allow = (queries: Queries, value: Value<RunName | ProgressName | 'prompt'>, entered: number) =>
  queries
    .update(generations)
    .set({ promptVerdict: sql`${value('prompt')}::jsonb`, ...progressUntil(value, entered) })
    .where(isCurrent(value))
    .returning({ id: generations.id, subjectId: generations.subjectId })

const keepPromptVerdict = prepared(allow)

const keepBothVerdicts = prepared((queries, value: Value<RunName | ProgressName | 'prompt' | 'subject'>, entered) => {
  const current = queries.$with('current').as(allow(queries, value, entered))
  return queries
    .with(current)
    .update(subjects)
    .set({ verdict: sql`${value('subject')}::jsonb` })
    .from(current)
    .where(eq(subjects.id, current.subjectId))
    .returning({ id: subjects.id })
})

const keepUnread = prepared((queries, value: Value<RunName | ProgressName | 'text'>, entered) =>
  queries
    .update(generations)
    .set({ unreadPrompt: sql`${value('text')}::text`, ...progressUntil(value, entered) })
    .where(isCurrent(value))
    .returning({ id: generations.id }),
)

type CheckpointName = 'step' | 'bytes' | 'bundle'

const keepCheckpoint = prepared((queries, value: Value<RunName | ProgressName | CheckpointName>, entered) => {
  const current = queries.$with('current').as(reach(queries, value, entered, gotFurther(value)))
  const values = {
    step: sql`${value('step')}::int`,
    bytes: sql`${value('bytes')}::bytea`,
    bundle: sql`${value('bundle')}::text`,
  }
  return queries
    .with(current)
    .insert(checkpoints)
    .select(
      queries
        .select({
          generationId: current.id,
          step: values.step.as('step'),
          bytes: values.bytes.as('bytes'),
          bundle: values.bundle.as('bundle'),
        })
        .from(current),
    )
    .onConflictDoUpdate({ target: checkpoints.generationId, set: values })
    .returning({ id: checkpoints.generationId })
})

/** The picture and its mask. */
const filesPerPicture = 2

/** Pictures with their files, which become readable, in place of what only an unfinished generation needs. */
const insertImages = prepared((queries, value: Value<string>, count) => {
  const kept = queries.$with('kept').as(keeping(queries, value, filesPerPicture * count))
  const { forgotten, gone, doomed } = forgetting(queries, value('id'))
  return queries
    .with(kept, forgotten, gone, doomed)
    .insert(images)
    .values(rowPlaces(images, value, count))
    .returning({
      kept: sql<number>`(select count(*) from ${kept})`.mapWith(Number),
      leftovers: sql<string[]>`(select coalesce(json_agg("doomed"."key"), '[]') from ${doomed})`,
    })
})

const handBack = prepared((queries, value: Value<RunName>) =>
  queries
    .update(generations)
    .set({ faults: sql`${generations.faults} - 1` })
    .where(isCurrent(value))
    .returning({ id: generations.id }),
)

const findFaults = prepared((queries, value: Value<'id'>) =>
  queries
    .select({ faults: generations.faults })
    .from(generations)
    .where(eq(generations.id, value('id'))),
)

const findCurrent = prepared((queries, value: Value<RunName>) =>
  queries.select({ id: generations.id }).from(generations).where(isCurrent(value)),
)

/** Locks the row until the commit; none where it is not this attempt's any more. */
const lockCurrent = prepared((queries, value: Value<RunName>) =>
  queries.select({ id: generations.id }).from(generations).where(isCurrent(value)).for('update'),
)

/** The system of record as a runner sees it. Ended snapshots are published here; running ones are the runner's to publish. */
export function createRunStore(options: RunStoreOptions): RunStore {
  const { db, assets, events, log, now, maxAttempts, bundle } = options

  /** Ends a generation, in one transaction, and tells who watches. */
  const end = async (
    how: End,
    entered?: readonly Entered[],
    finish?: Parameters<typeof endGeneration>[4],
  ): Promise<Ending | null> => {
    const ended = await db.transaction((queries) => endGeneration(queries, how, now(), entered, finish))
    if (!ended) return null
    await tell(events, log, snapshotOf(ended.row, now()))
    assets.removeLater(ended.leftovers)
    return ended
  }

  const dropPreviews = async ({ id, attempt }: Pick<Run, 'id' | 'attempt'>): Promise<boolean> => {
    const dropped = await db.transaction(async (queries) => {
      if ((await lockCurrent(queries, { id, attempt })).length === 0) return null
      const gone = await queries
        .delete(previews)
        .where(eq(previews.generationId, id))
        .returning({ key: previews.assetKey })
      const keys = gone.map(({ key }) => key)
      await assets.doom(queries, keys)
      return keys
    })
    assets.removeLater(dropped ?? [])
    return dropped !== null
  }

  return {
    async begin(id) {
      const [begun] = await db.run((queries) => begin(queries, { id, maxAttempts, bundle, now: now().toISOString() }))
      if (begun) {
        // Not in one statement: what the attempt before kept until now is seen by one that begins later.
        if (begun.attempt > 1) await dropPreviews({ id, attempt: begun.attempt })
        return runOf(id, begun)
      }
      if (await end(endCanceling({ id }))) return null
      await end(giveUp({ id, maxAttempts, problem: JSON.stringify(givenUp(maxAttempts)) }))
      return null
    },

    async enterStages({ id, attempt }, entered) {
      const values = { id, attempt, ...progressValues(entered.at(-1)?.at ?? now(), entered) }
      return (await db.run((queries) => enter(queries, values, entered.length))).length > 0
    },

    async keepStep({ id, attempt }, step, bytes, entered = []) {
      const values = { id, attempt, step, ...progressValues(now(), entered) }
      const kept = await db.run(
        (queries): Promise<readonly unknown[]> =>
          bytes
            ? keepCheckpoint(queries, { ...values, bytes, bundle }, entered.length)
            : keepStep(queries, values, entered.length),
      )
      return kept.length > 0
    },

    async keepVerdicts({ id, attempt }, prompt, subject, entered = []) {
      const values = { id, attempt, prompt: JSON.stringify(prompt), ...progressValues(now(), entered) }
      const kept = await db.run(
        (queries): Promise<readonly unknown[]> =>
          subject
            ? keepBothVerdicts(queries, { ...values, subject: JSON.stringify(subject) }, entered.length)
            : keepPromptVerdict(queries, values, entered.length),
      )
      return kept.length > 0
    },

    async keepUnread({ id, attempt }, text, entered = []) {
      const values = { id, attempt, text, ...progressValues(now(), entered) }
      return (await db.run((queries) => keepUnread(queries, values, entered.length))).length > 0
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
          if ((await lockCurrent(queries, { id: run.id, attempt: run.attempt })).length === 0) return null
          const old = await queries
            .delete(previews)
            .where(and(eq(previews.generationId, run.id), inArray(previews.kind, kinds)))
            .returning({ key: previews.assetKey })
          await queries
            .insert(previews)
            .values(kinds.map((kind, place) => ({ generationId: run.id, kind, assetKey: keys[place]! })))
          const oldKeys = old.map(({ key }) => key)
          await assets.doom(queries, oldKeys)
          await assets.keep(queries, files)
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

    dropPreviews,

    reserve: ({ tenant }, count) => assets.reserve(tenant, filesPerPicture * count),

    async succeed(run, pictures, entered, places) {
      const files = await assets.write(
        run.tenant,
        pictures.flatMap(({ image, mask }) => [image, mask]),
        places,
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
      const done = endSucceeded({ id: run.id, attempt: run.attempt })
      const succeeded = await orAbandon(keys, () =>
        end(done, entered, async (queries, id) => {
          const values = { id, ...rowValues(rows), ...rowValues(files) }
          const [inserted] = await insertImages(queries, values, rows.length)
          requireKept(inserted?.kept ?? 0, files)
          return inserted?.leftovers ?? []
        }),
      )
      if (!succeeded) await assets.abandon(keys)
      return succeeded !== null
    },

    async end({ id, attempt }, status, reason) {
      const problem = reason && JSON.stringify(reason)
      return (await end(endOtherwise({ id, attempt, status, problem }))) !== null
    },

    async handBack({ id, attempt }) {
      return (await db.run((queries) => handBack(queries, { id, attempt }))).length > 0
    },

    async countFaults({ id }) {
      const [row] = await db.run((queries) => findFaults(queries, { id }))
      return row?.faults ?? 0
    },

    async isStopped({ id, attempt }) {
      const [row] = await db.run((queries) => findCurrent(queries, { id, attempt }))
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
  readonly faults: number
  readonly request: CompleteRequest
  readonly subjectId: string
  readonly label: string
  readonly image: string | null
  readonly mask: string | null
  readonly contentHash: string | null
  readonly policyVersion: string
  readonly checkpointStep: number | null
  readonly checkpointBytes: Uint8Array | null
}

/** Null where there is nothing to draw: the subject was rejected. */
function runOf(id: string, begun: Begun): Run | null {
  const { tenant, attempt, faults, request, subjectId, label, image, mask, contentHash } = begun
  const { policyVersion, checkpointStep, checkpointBytes } = begun
  if (image === null || mask === null || contentHash === null) return null
  const isKept = checkpointStep !== null && checkpointBytes !== null
  return {
    id,
    tenant,
    attempt,
    faults,
    subject: { id: subjectId, label, image, mask, contentHash, policyVersion },
    request,
    checkpoint: isKept ? { step: checkpointStep, bytes: checkpointBytes } : null,
  }
}

const givenUp = (attempts: number): EndReason => ({
  message: `the generation was begun ${attempts} times in a row and got no further`,
  stage: null,
  retryable: true,
  verdict: null,
})
