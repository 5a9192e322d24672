import type { PgDatabase, PgQueryResultHKT } from 'drizzle-orm/pg-core'
import type { Logger } from '../../lib/mesh/log.ts'
import { openPglite } from './pglite.ts'
import { openPostgres } from './postgres.ts'
import type * as schema from './schema.ts'

/** drizzle over either database, inside a transaction or not. */
export type Queries = PgDatabase<PgQueryResultHKT, typeof schema>

/**
 * The system of record. Everything throws a MeshError: UNAVAILABLE while the database is away or too busy (asking again
 * helps), INTERNAL without statements and values, as those hold what people wrote. What `work` throws of its own passes.
 */
export interface Database extends AsyncDisposable {
  readonly kind: 'postgres' | 'pglite'
  /** Single statements, each a transaction of its own. */
  run<T>(work: (queries: Queries) => Promise<T>): Promise<T>
  /** All or nothing, READ COMMITTED. Begun anew after a deadlock, so `work` does nothing but query. */
  transaction<T>(work: (queries: Queries) => Promise<T>): Promise<T>
}

/**
 * PostgreSQL at an address, or one inside this process in a folder (null: in memory, for tests). Whoever opens a folder
 * keeps other processes out of it.
 */
export type DatabasePlace = { readonly url: string } | { readonly folder: string | null }

/**
 * Opens the database and brings its tables up to date; several copies of the service may do so at once. Waits up to
 * `waitMs` for a PostgreSQL that is not there yet, then throws UNAVAILABLE.
 */
export function openDatabase(place: DatabasePlace, log: Logger, waitMs = 30_000): Promise<Database> {
  return 'url' in place ? openPostgres(place.url, log, waitMs) : openPglite(place.folder)
}
