import { mkdir } from 'node:fs/promises'
import { PGlite } from '@electric-sql/pglite'
import { drizzle } from 'drizzle-orm/pglite'
import { migrate } from 'drizzle-orm/pglite/migrator'
import type { Database, Queries } from './database.ts'
import { translateDatabaseError } from './errors.ts'
import { migrationsFolder } from './migrations.ts'
import * as schema from './schema.ts'

/** PostgreSQL in this process, its files in `folder`; null keeps them in memory. Two processes in one folder destroy it. */
export async function openPglite(folder: string | null): Promise<Database> {
  await using opened = new AsyncDisposableStack()
  if (folder !== null) await mkdir(folder, { recursive: true })
  const client = await (folder === null ? PGlite.create() : PGlite.create(folder))
  opened.defer(() => client.close())
  const queries = drizzle(client, { schema })
  await migrate(queries, { migrationsFolder })
  const kept = opened.move()

  const translated = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      throw translateDatabaseError(error)
    }
  }
  return {
    kind: 'pglite',
    run: (work) => translated(work(queries as unknown as Queries)),
    transaction: (work) => translated(queries.transaction((inside) => work(inside as unknown as Queries))),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}
