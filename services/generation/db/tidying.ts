import { getTableName, isTable, sql } from 'drizzle-orm'
import type { Database } from './database.ts'
import * as schema from './schema.ts'

export interface TidyingOptions {
  readonly everyMs?: number
  /** Grown by so much, the checkpoints don't wait: 100 MB of dead rows hold this thread up for 0.15 to 0.35 s. */
  readonly grownBytes?: number
  now?(): number
}

/**
 * Does for the embedded database what a server has processes for, and is to be called now and then: without it, what is
 * replaced (a generation's checkpoints, 0.7 MB at 512 px) and the write-ahead log take more room for as long as the
 * process lives. Answers whether there was something to do; a server's database is left to itself.
 */
export function createTidying(
  { kind, run }: Pick<Database, 'kind' | 'run'>,
  { everyMs = 3600_000, grownBytes = 2 ** 25, now = () => performance.now() }: TidyingOptions = {},
): () => Promise<boolean> {
  let tidiedAt = now()
  let tidiedBytes = 0
  const checkpointBytes = async (): Promise<number> => {
    const { rows } = (await run((queries) =>
      queries.execute(
        sql`select pg_total_relation_size(${getTableName(schema.checkpoints)}::regclass)::float8 as bytes`,
      ),
    )) as unknown as { readonly rows: readonly [{ readonly bytes: number }] }
    return rows[0].bytes
  }
  return async () => {
    if (kind !== 'pglite') return false
    const isDue = now() - tidiedAt >= everyMs || (await checkpointBytes()) - tidiedBytes >= grownBytes
    if (!isDue) return false
    // One after another and none in a transaction: whoever waits for the database has a turn in between.
    for (const table of Object.values(schema).filter(isTable)) {
      await run((queries) => queries.execute(sql`vacuum ${table}`))
    }
    await run((queries) => queries.execute(sql`checkpoint`))
    tidiedAt = now()
    tidiedBytes = await checkpointBytes()
    return true
  }
}
