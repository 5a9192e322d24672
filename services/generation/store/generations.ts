import { and, asc, count, desc, eq, inArray, lt, min, type Placeholder, type SQL, sql } from 'drizzle-orm'
import { unionAll } from 'drizzle-orm/pg-core'
import type { Queries } from '../db/database.ts'
import { momentOf, prepared } from '../db/prepared.ts'
import { assets, checkpoints, type GenerationStatus, generations, images, previews, subjects } from '../db/schema.ts'
import type { EndReason, Entered } from '../runner/run-store.ts'
import { beforePlace, type Page, type PageRequest, pageOf } from './page.ts'

/** Without what only its runners count. */
export type GenerationRow = Omit<typeof generations.$inferSelect, 'faults' | 'furthestStep'>
export type AssetRow = typeof assets.$inferSelect

/** A generation and how many are served before it. */
export interface QueuedGeneration extends GenerationRow {
  readonly queuePosition: number
}

/** Statuses in which there is still something to do. */
export const unfinishedStatuses = ['QUEUED', 'RUNNING', 'CANCELING'] as const satisfies readonly GenerationStatus[]

const queuePosition = sql<number>`case when "generations"."status" = 'QUEUED' then (
  select count(*) from "generations" ahead where ahead.status = 'QUEUED'
    and (ahead.created_at, ahead.id) < ("generations"."created_at", "generations"."id")
) else 0 end`.mapWith(Number)

const columns = {
  id: generations.id,
  tenant: generations.tenant,
  subjectId: generations.subjectId,
  status: generations.status,
  stage: generations.stage,
  stageStartedAt: generations.stageStartedAt,
  attempt: generations.attempt,
  step: generations.step,
  request: generations.request,
  timings: generations.timings,
  problem: generations.problem,
  promptVerdict: generations.promptVerdict,
  unreadPrompt: generations.unreadPrompt,
  idempotencyKey: generations.idempotencyKey,
  requestHash: generations.requestHash,
  createdAt: generations.createdAt,
  startedAt: generations.startedAt,
  completedAt: generations.completedAt,
  queuePosition,
}

/** In no order. */
export async function findGenerations(
  queries: Queries,
  tenant: string,
  ids: readonly string[],
): Promise<QueuedGeneration[]> {
  if (ids.length === 0) return []
  return queries
    .select(columns)
    .from(generations)
    .where(and(eq(generations.tenant, tenant), inArray(generations.id, [...ids])))
}

export async function findGeneration(queries: Queries, tenant: string, id: string): Promise<QueuedGeneration | null> {
  return (await findGenerations(queries, tenant, [id]))[0] ?? null
}

export async function listGenerations(
  queries: Queries,
  tenant: string,
  { subjectId, status }: { readonly subjectId: string | null; readonly status: GenerationStatus | null },
  page: PageRequest,
): Promise<Page<QueuedGeneration>> {
  const found = await queries
    .select(columns)
    .from(generations)
    .where(
      and(
        eq(generations.tenant, tenant),
        subjectId === null ? undefined : eq(generations.subjectId, subjectId),
        status === null ? undefined : eq(generations.status, status),
        beforePlace(generations.createdAt, generations.id, page.after),
      ),
    )
    .orderBy(desc(generations.createdAt), desc(generations.id))
    .limit(page.size + 1)
  return pageOf(found, page)
}

export async function findByIdempotencyKey(
  queries: Queries,
  tenant: string,
  key: string,
): Promise<QueuedGeneration | null> {
  const [found] = await queries
    .select(columns)
    .from(generations)
    .where(and(eq(generations.tenant, tenant), eq(generations.idempotencyKey, key)))
  return found ?? null
}

/** One tenant's acceptances come one after the other: what is counted and looked up stays true until the commit. */
export async function lockTenant(queries: Queries, tenant: string, of = 'generations'): Promise<void> {
  await queries.execute(sql`select pg_advisory_xact_lock(hashtextextended(${`${of} of ${tenant}`}, 0))`)
}

/** A subject as far as a generation of it depends on it, and how many generations its tenant has waiting. */
export async function findDrawable(queries: Queries, tenant: string, subjectId: string) {
  const [found] = await selectDrawable(queries, { tenant, subjectId })
  return found ?? null
}

const selectDrawable = prepared((queries, value: (name: 'tenant' | 'subjectId') => Placeholder) => {
  const isWaiting = and(eq(generations.tenant, value('tenant')), eq(generations.status, 'QUEUED'))
  const waiting = queries.select({ queued: count() }).from(generations).where(isWaiting)
  return queries
    .select({
      status: subjects.status,
      verdict: subjects.verdict,
      /** Side of its pictures; null where it was rejected. */
      sizePx: assets.widthPx,
      queued: sql<number>`(${waiting})`.mapWith(Number),
    })
    .from(subjects)
    .leftJoin(assets, eq(assets.key, subjects.imageKey))
    .where(and(eq(subjects.tenant, value('tenant')), eq(subjects.id, value('subjectId'))))
})

/** QUEUED → CANCELED, RUNNING → CANCELING; null where it is neither. */
export async function cancel(queries: Queries, tenant: string, id: string, now: Date): Promise<GenerationRow | null> {
  const isQueued = sql`${generations.status} = 'QUEUED'`
  const [row] = await queries
    .update(generations)
    .set({
      status: sql`case when ${isQueued} then 'CANCELED' else 'CANCELING' end`,
      completedAt: sql`case when ${isQueued} then ${now.toISOString()}::timestamptz end`,
    })
    .where(
      and(eq(generations.tenant, tenant), eq(generations.id, id), inArray(generations.status, ['QUEUED', 'RUNNING'])),
    )
    .returning()
  return row ?? null
}

/** Names of the values that `progressUntil` leaves open. */
export type ProgressName = 'now' | 'first' | `stage${number}` | `elapsed${number}`

/**
 * Where a generation is at 'now', after `count` stages that were entered meanwhile: the time in each is added to what it
 * took before. `progressValues` has the values.
 */
export function progressUntil(value: (name: ProgressName) => Placeholder, count: number) {
  const stageStartedAt = momentOf(value('now'))
  if (count === 0) return { timings: timingsUntil(stageStartedAt), stageStartedAt }
  // An attempt enters no stage twice, so none of these is the one that the row is at.
  const times = Array.from({ length: count }, (_, index) => {
    const stage = sql`${value(`stage${index}`)}::text`
    return sql`${stage}, coalesce((${generations.timings} ->> ${stage})::int, 0) + ${value(`elapsed${index}`)}::int`
  })
  const timings = sql`${timingsUntil(momentOf(value('first')))} || jsonb_build_object(${sql.join(times, sql`, `)})`
  return { stage: sql`${value(`stage${count - 1}`)}::text`, timings, stageStartedAt }
}

export function progressValues(now: Date, entered: readonly Entered[]): Record<ProgressName, unknown> {
  const values: Record<string, unknown> = { now: now.toISOString(), first: entered[0]?.at.toISOString() }
  for (const [index, { stage, at }] of entered.entries()) {
    values[`stage${index}`] = stage
    values[`elapsed${index}`] = Math.max(0, (entered[index + 1]?.at ?? now).getTime() - at.getTime())
  }
  return values
}

/** The time since the stage was entered, or last counted, added to that stage's. */
function timingsUntil(now: SQL): SQL {
  const { stage, stageStartedAt, timings } = generations
  const elapsedMs = sql`greatest(0, extract(epoch from (${now} - ${stageStartedAt})) * 1000)::int`
  return sql`case when ${stage} is null or ${stageStartedAt} is null then ${timings} else
    jsonb_set(${timings}, array[${stage}], to_jsonb(coalesce((${timings} ->> ${stage})::int, 0) + ${elapsedMs})) end`
}

export interface Ending {
  readonly row: GenerationRow
  /** Files that nothing points to any more, doomed. */
  readonly leftovers: readonly string[]
}

/** Ends a generation, if it is to, and gives its row. */
export type End = (queries: Queries, now: Date, entered: readonly Entered[]) => Promise<GenerationRow[]>

/** Ends what `condition` still holds for; condition and ending say by `value` what `values` has for each. */
export function ending<Name extends string>(
  to: (value: (name: Name) => Placeholder) => {
    readonly condition: SQL | undefined
    readonly status: GenerationStatus | SQL
    readonly problem: EndReason | SQL | null
  },
): (values: Readonly<Record<Name, unknown>>) => End {
  const update = prepared((queries, value: (name: ProgressName | Name) => Placeholder, count) => {
    const { condition, ...end } = to(value)
    return queries
      .update(generations)
      .set({ ...end, ...progressUntil(value, count), stageStartedAt: null, completedAt: momentOf(value('now')) })
      .where(condition)
      .returning()
  })
  return (values) => (queries, now, entered) =>
    update(queries, { ...progressValues(now, entered), ...values }, entered.length)
}

/**
 * Ends a generation and takes along what only an unfinished one needs, with more if `finish` is given, which then has to do
 * that by `forgetting`. Null where it is not to be ended.
 */
export async function endGeneration(
  queries: Queries,
  end: End,
  now: Date,
  entered: readonly Entered[] = [],
  finish: (queries: Queries, id: string) => Promise<readonly string[]> = forget,
): Promise<Ending | null> {
  const [row] = await end(queries, now, entered)
  if (!row) return null
  // Only now that the row is locked: a preview that was kept meanwhile is seen by a statement that begins later.
  return { row, leftovers: await finish(queries, row.id) }
}

/** The parts of a statement that take along what only an unfinished generation needs; `doomed` names files that go with it. */
export function forgetting(queries: Queries, id: Placeholder) {
  const forgotten = queries
    .$with('forgotten')
    .as(queries.delete(checkpoints).where(eq(checkpoints.generationId, id)).returning({ step: checkpoints.step }))
  const gone = queries
    .$with('gone')
    .as(queries.delete(previews).where(eq(previews.generationId, id)).returning({ key: previews.assetKey }))
  const doomed = queries.$with('doomed').as(
    queries
      .update(assets)
      .set({ state: 'DOOMED' })
      .where(inArray(assets.key, queries.select({ key: gone.key }).from(gone)))
      .returning({ key: assets.key }),
  )
  return { forgotten, gone, doomed }
}

const forgetAll = prepared((queries, value: (name: 'id') => Placeholder) => {
  const { forgotten, gone, doomed } = forgetting(queries, value('id'))
  return queries.with(forgotten, gone, doomed).select({ key: doomed.key }).from(doomed)
})

async function forget(queries: Queries, id: string): Promise<readonly string[]> {
  return (await forgetAll(queries, { id })).map(({ key }) => key)
}

export interface ImageRow {
  readonly row: typeof images.$inferSelect
  readonly image: AssetRow
  readonly mask: AssetRow
}

/** Pictures by the generation's id, in their order. */
export async function findImages(queries: Queries, ids: readonly string[]): Promise<ReadonlyMap<string, ImageRow[]>> {
  if (ids.length === 0) return new Map()
  const rows = await queries
    .select()
    .from(images)
    .where(inArray(images.generationId, [...ids]))
    .orderBy(asc(images.index))
  const files = await findAssets(
    queries,
    rows.flatMap(({ imageKey, maskKey }) => [imageKey, maskKey]),
  )
  const whole = rows.flatMap((row) => {
    const [image, mask] = [files.get(row.imageKey), files.get(row.maskKey)]
    // Gone when the generation was deleted between the two statements.
    return image && mask ? [{ row, image, mask }] : []
  })
  return Map.groupBy(whole, ({ row }) => row.generationId)
}

export async function findAssets(queries: Queries, keys: readonly string[]): Promise<ReadonlyMap<string, AssetRow>> {
  if (keys.length === 0) return new Map()
  const rows = await queries
    .select()
    .from(assets)
    .where(inArray(assets.key, [...keys]))
  return new Map(rows.map((row) => [row.key, row]))
}

export async function findPreviews(
  queries: Queries,
  id: string,
): Promise<{ readonly preview: AssetRow | null; readonly mask: AssetRow | null }> {
  const rows = await queries
    .select({ kind: previews.kind, asset: assets })
    .from(previews)
    .innerJoin(assets, eq(assets.key, previews.assetKey))
    .where(eq(previews.generationId, id))
  const of = (kind: 'preview' | 'mask') => rows.find((row) => row.kind === kind)?.asset ?? null
  return { preview: of('preview'), mask: of('mask') }
}

/** Ids in these statuses, the oldest first, read in pages. */
export async function* idsIn(
  run: <T>(work: (queries: Queries) => Promise<T>) => Promise<T>,
  statuses: readonly GenerationStatus[],
  pageSize = 500,
): AsyncGenerator<string> {
  let last: { readonly createdAt: Date; readonly id: string } | undefined
  for (;;) {
    const place = last
    const rows = await run((queries) =>
      queries
        .select({ id: generations.id, createdAt: generations.createdAt })
        .from(generations)
        .where(
          and(
            inArray(generations.status, [...statuses]),
            place &&
              sql`(${generations.createdAt}, ${generations.id}) > (${place.createdAt.toISOString()}::timestamptz, ${place.id})`,
          ),
        )
        .orderBy(asc(generations.createdAt), asc(generations.id))
        .limit(pageSize),
    )
    for (const { id } of rows) yield id
    last = rows.at(-1)
    if (!last || rows.length < pageSize) return
  }
}

/**
 * Deletes what `condition` holds for with everything that points to it, in one transaction. `keys` are files that
 * nothing points to any more, doomed already.
 */
export async function deleteGenerations(
  queries: Queries,
  condition: SQL,
): Promise<{ readonly rows: readonly GenerationRow[]; readonly keys: readonly string[] }> {
  // Locked first: a run that is about to succeed would otherwise add pictures behind the next statement's back.
  await queries.select({ id: generations.id }).from(generations).where(condition).for('update')
  const ids = queries.select({ id: generations.id }).from(generations).where(condition)
  const files = unionAll(
    queries.select({ key: images.imageKey }).from(images).where(inArray(images.generationId, ids)),
    queries.select({ key: images.maskKey }).from(images).where(inArray(images.generationId, ids)),
    queries.select({ key: previews.assetKey }).from(previews).where(inArray(previews.generationId, ids)),
  )
  const doomed = await queries
    .update(assets)
    .set({ state: 'DOOMED' })
    .where(inArray(assets.key, files))
    .returning({ key: assets.key })
  const rows = await queries.delete(generations).where(condition).returning()
  return { rows, keys: doomed.map(({ key }) => key) }
}

/** Ids of up to `limit` generations that ended before `before`, the oldest first, locked until the commit. */
export async function findEndedBefore(queries: Queries, before: Date, limit: number): Promise<string[]> {
  const rows = await queries
    .select({ id: generations.id })
    .from(generations)
    .where(lt(generations.completedAt, before))
    .orderBy(generations.completedAt)
    .limit(limit)
    .for('update', { skipLocked: true })
  return rows.map(({ id }) => id)
}

/** Ids of up to `limit` that have been waiting since before `before`, the oldest first. */
export async function findQueuedBefore(queries: Queries, before: Date, limit: number): Promise<string[]> {
  const rows = await queries
    .select({ id: generations.id })
    .from(generations)
    .where(and(eq(generations.status, 'QUEUED'), lt(generations.createdAt, before)))
    .orderBy(generations.createdAt, generations.id)
    .limit(limit)
  return rows.map(({ id }) => id)
}

/** How many wait, of all tenants, and since when the oldest does; null where none does. */
export async function findQueue(queries: Queries): Promise<{ readonly waiting: number; readonly since: Date | null }> {
  const [found] = await queries
    .select({ waiting: count(), since: min(generations.createdAt) })
    .from(generations)
    .where(eq(generations.status, 'QUEUED'))
  return found!
}

/** One that waits. Answers how many are served before it. */
export async function insertGeneration(queries: Queries, row: NewRow): Promise<number> {
  const [inserted] = await insertWaiting(queries, { ...row, since: row.createdAt.toISOString() })
  return inserted!.before
}

/** What a row begins with. */
export type NewRow = Pick<
  GenerationRow,
  'id' | 'tenant' | 'subjectId' | 'request' | 'idempotencyKey' | 'requestHash' | 'createdAt'
>

const insertWaiting = prepared((queries, value: (name: keyof NewRow | 'since') => Placeholder) => {
  // The row itself is not there yet for the statement that inserts it, and does not count.
  const before = sql<number>`(select count(*) from "generations" ahead where ahead.status = 'QUEUED'
    and (ahead.created_at, ahead.id) < (${momentOf(value('since'))}, ${value('id')}))`.mapWith(Number)
  const row = {
    id: value('id'),
    tenant: value('tenant'),
    subjectId: value('subjectId'),
    status: 'QUEUED' as const,
    attempt: 0,
    step: 0,
    request: value('request'),
    timings: {},
    idempotencyKey: value('idempotencyKey'),
    requestHash: value('requestHash'),
    createdAt: value('createdAt'),
  }
  return queries.insert(generations).values(row).returning({ before })
})
