import { and, desc, eq, isNull, sql } from 'drizzle-orm'
import type { Queries } from '../db/database.ts'
import { apiKeys } from '../db/schema.ts'

export type ApiKeyRow = typeof apiKeys.$inferSelect

/** Keys of one mesh are made by hand: more than these are not listed. */
const largestList = 10_000

export async function insertApiKey(queries: Queries, row: ApiKeyRow): Promise<void> {
  await queries.insert(apiKeys).values(row)
}

/** The key with this hash, unless it was revoked. */
export async function findWorkingKey(queries: Queries, hash: string): Promise<ApiKeyRow | null> {
  const [row] = await queries
    .select()
    .from(apiKeys)
    .where(and(eq(apiKeys.hash, hash), isNull(apiKeys.revokedAt)))
  return row ?? null
}

/** The newest first. */
export async function listApiKeys(queries: Queries, tenant: string | null): Promise<ApiKeyRow[]> {
  return queries
    .select()
    .from(apiKeys)
    .where(tenant === null ? undefined : eq(apiKeys.tenant, tenant))
    .orderBy(desc(apiKeys.createdAt), desc(apiKeys.id))
    .limit(largestList)
}

/** Keeps the first moment however often it is asked; null where there is no such key. */
export async function revokeApiKey(queries: Queries, id: string, now: Date): Promise<ApiKeyRow | null> {
  const [row] = await queries
    .update(apiKeys)
    .set({ revokedAt: sql`coalesce(${apiKeys.revokedAt}, ${now.toISOString()}::timestamptz)` })
    .where(eq(apiKeys.id, id))
    .returning()
  return row ?? null
}
