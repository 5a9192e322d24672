import { and, desc, eq, inArray } from 'drizzle-orm'
import { alias } from 'drizzle-orm/pg-core'
import type { WrittenAsset } from '../assets/assets.ts'
import type { Queries } from '../db/database.ts'
import { assets, subjects } from '../db/schema.ts'
import { beforePlace, type Page, type PageRequest, pageOf } from './page.ts'

export type SubjectRow = typeof subjects.$inferSelect

/** A subject with its files; null where it was rejected. */
export interface Subject {
  readonly row: SubjectRow
  readonly image: WrittenAsset | null
  readonly mask: WrittenAsset | null
}

const image = alias(assets, 'image')
const mask = alias(assets, 'mask')

const select = (queries: Queries) =>
  queries
    .select({ row: subjects, image, mask })
    .from(subjects)
    .leftJoin(image, eq(image.key, subjects.imageKey))
    .leftJoin(mask, eq(mask.key, subjects.maskKey))

/** In no order. */
export async function findSubjects(queries: Queries, tenant: string, ids: readonly string[]): Promise<Subject[]> {
  if (ids.length === 0) return []
  return select(queries).where(and(eq(subjects.tenant, tenant), inArray(subjects.id, [...ids])))
}

export async function findSubjectByKey(queries: Queries, tenant: string, key: string): Promise<Subject | null> {
  const [found] = await select(queries).where(and(eq(subjects.tenant, tenant), eq(subjects.idempotencyKey, key)))
  return found ?? null
}

export async function listSubjects(queries: Queries, tenant: string, page: PageRequest): Promise<Page<Subject>> {
  const found = await select(queries)
    .where(and(eq(subjects.tenant, tenant), beforePlace(subjects.createdAt, subjects.id, page.after)))
    .orderBy(desc(subjects.createdAt), desc(subjects.id))
    .limit(page.size + 1)
  const { rows, tokens, nextToken } = pageOf(
    found.map((subject) => ({ id: subject.row.id, createdAt: subject.row.createdAt, subject })),
    page,
  )
  return { rows: rows.map(({ subject }) => subject), tokens, nextToken }
}

/** False where one with its idempotency key has come first. */
export async function insertSubject(queries: Queries, row: SubjectRow): Promise<boolean> {
  const inserted = await queries
    .insert(subjects)
    .values(row)
    .onConflictDoNothing({ target: [subjects.tenant, subjects.idempotencyKey] })
    .returning({ id: subjects.id })
  return inserted.length > 0
}

/** Locked until the commit, so that nothing new is made of it meanwhile. */
export async function lockSubject(queries: Queries, tenant: string, id: string): Promise<SubjectRow | null> {
  const [row] = await queries
    .select()
    .from(subjects)
    .where(and(eq(subjects.tenant, tenant), eq(subjects.id, id)))
    .for('update')
  return row ?? null
}

export async function deleteSubjectRow(queries: Queries, id: string): Promise<void> {
  await queries.delete(subjects).where(eq(subjects.id, id))
}
