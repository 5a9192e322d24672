import { and, count, eq, gt, inArray, isNull, lte, min, notInArray, sql, sum } from 'drizzle-orm'
import type { Queries } from '../db/database.ts'
import { assets, subjects, uploads } from '../db/schema.ts'

export type UploadRow = typeof uploads.$inferSelect
export type StoredFile = Pick<typeof assets.$inferSelect, 'key' | 'sha256'>

export interface Upload {
  readonly upload: UploadRow
  /** Null until its bytes are there. */
  readonly file: StoredFile | null
}

export async function insertUpload(queries: Queries, row: UploadRow): Promise<void> {
  await queries.insert(uploads).values(row)
}

/** Uploads that were promised or written, and made no subject of. */
export interface UnusedUploads {
  readonly files: number
  /** As they were promised. */
  readonly bytes: number
  /** When the first of them is forgotten; null where there is none. */
  readonly until: Date | null
}

/** A file is kept for `keptMs` once it is written: no older subject can have been made of one that is still there. */
export async function findUnused(queries: Queries, tenant: string, now: Date, keptMs: number): Promise<UnusedUploads> {
  const used = queries
    .select({ id: sql<string>`unnest(${subjects.uploadIds})` })
    .from(subjects)
    .where(and(eq(subjects.tenant, tenant), gt(subjects.createdAt, new Date(now.getTime() - keptMs))))
  const [found] = await queries
    .select({ files: count(), bytes: sum(uploads.byteLength).mapWith(Number), until: min(uploads.expiresAt) })
    .from(uploads)
    .where(and(eq(uploads.tenant, tenant), gt(uploads.expiresAt, now), notInArray(uploads.id, used)))
  return { files: found!.files, bytes: found!.bytes ?? 0, until: found!.until }
}

const file = { key: assets.key, sha256: assets.sha256 }

export async function findByTokenHash(queries: Queries, tokenHash: string): Promise<Upload | null> {
  const [found] = await queries
    .select({ upload: uploads, file })
    .from(uploads)
    .leftJoin(assets, eq(assets.key, uploads.assetKey))
    .where(eq(uploads.tokenHash, tokenHash))
  return found ?? null
}

export async function findUpload(queries: Queries, tenant: string, id: string, now: Date): Promise<Upload | null> {
  const [found] = await queries
    .select({ upload: uploads, file })
    .from(uploads)
    .leftJoin(assets, eq(assets.key, uploads.assetKey))
    .where(and(eq(uploads.tenant, tenant), eq(uploads.id, id), gt(uploads.expiresAt, now)))
  return found ?? null
}

/** The first file wins: false where there is one already, or the upload is gone. */
export async function storeFile(queries: Queries, id: string, assetKey: string, expiresAt: Date): Promise<boolean> {
  const stored = await queries
    .update(uploads)
    .set({ assetKey, expiresAt })
    .where(and(eq(uploads.id, id), isNull(uploads.assetKey)))
    .returning({ id: uploads.id })
  return stored.length > 0
}

/** Forgets uploads; their files' keys are to be doomed. */
export async function deleteUploads(queries: Queries, tenant: string, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return []
  const gone = await queries
    .delete(uploads)
    .where(and(eq(uploads.tenant, tenant), inArray(uploads.id, [...ids])))
    .returning({ assetKey: uploads.assetKey })
  return gone.flatMap(({ assetKey }) => assetKey ?? [])
}

/** Forgets up to `limit` uploads whose time is over; their files' keys are to be doomed. */
export async function deleteExpiredUploads(queries: Queries, now: Date, limit: number): Promise<string[]> {
  const expired = await queries
    .select({ id: uploads.id })
    .from(uploads)
    .where(lte(uploads.expiresAt, now))
    .orderBy(uploads.expiresAt)
    .limit(limit)
    .for('update', { skipLocked: true })
  if (expired.length === 0) return []
  const gone = await queries
    .delete(uploads)
    .where(
      inArray(
        uploads.id,
        expired.map(({ id }) => id),
      ),
    )
    .returning({ assetKey: uploads.assetKey })
  return gone.flatMap(({ assetKey }) => assetKey ?? [])
}
