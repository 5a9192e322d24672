import { setTimeout as sleep } from 'node:timers/promises'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import pg from 'pg'
import { MeshError } from '../../lib/mesh/errors.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import type { Database, Queries } from './database.ts'
import { isConnectionLost, mayBeginAnew, translateDatabaseError } from './errors.ts'
import { migrationsFolder } from './migrations.ts'
import * as schema from './schema.ts'

const bounds = {
  max: 10,
  connectionTimeoutMillis: 5000,
  idleTimeoutMillis: 30_000,
  statement_timeout: 15_000,
  lock_timeout: 10_000,
  idle_in_transaction_session_timeout: 15_000,
  /** Beyond the server's own bound: only a connection that nothing comes back on reaches it. */
  query_timeout: 20_000,
  keepAlive: true,
  application_name: 'moma-generation',
}

/** Key of the advisory lock under which tables are changed: "moma" in ASCII. */
const migrationLock = 0x6d6f6d61
const migrationTimeoutMs = 5 * 60_000
const transactionAttempts = 3

export async function openPostgres(url: string, log: Logger, waitMs: number): Promise<Database> {
  await migrateOnce(url, log, waitMs)
  const pool = new pg.Pool({ ...bounds, connectionString: url })
  const lost = (error: Error) => log.warn({ reason: error.message }, 'database connection lost')
  // Without listeners, a server that goes away would end this process: the pool hears of idle connections only.
  pool.on('error', lost)
  pool.on('connect', (client) => client.on('error', lost))
  const queries = drizzle(pool, { schema }) as unknown as Queries

  /** drizzle's own transaction over a pool keeps the connection for ever when BEGIN fails. */
  const once = async <T>(work: (queries: Queries) => Promise<T>): Promise<T> => {
    const client = await pool.connect()
    let broken = false
    try {
      return await (drizzle(client, { schema }) as unknown as Queries).transaction(work)
    } catch (error) {
      broken = isConnectionLost(error)
      throw error
    } finally {
      client.release(broken)
    }
  }

  return {
    kind: 'postgres',
    async run(work) {
      try {
        return await work(queries)
      } catch (error) {
        throw translateDatabaseError(error)
      }
    },
    async transaction(work) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await once(work)
        } catch (error) {
          if (attempt >= transactionAttempts || !mayBeginAnew(error)) throw translateDatabaseError(error)
        }
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  }
}

/** One copy changes the tables while the others wait; a server that is not there yet is waited for. */
async function migrateOnce(url: string, log: Logger, waitMs: number): Promise<void> {
  const end = Date.now() + waitMs
  for (let delayMs = 100; ; delayMs = Math.min(2 * delayMs, 2000)) {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: bounds.connectionTimeoutMillis,
      statement_timeout: migrationTimeoutMs,
      application_name: bounds.application_name,
    })
    client.on('error', () => undefined)
    try {
      await client.connect()
      await client.query('select pg_advisory_lock($1)', [migrationLock])
      // Ending the connection gives the lock back.
      await migrate(drizzle(client), { migrationsFolder })
      return
    } catch (error) {
      const fault = translateDatabaseError(error)
      const isAway = fault instanceof MeshError && fault.code === 'UNAVAILABLE'
      if (!isAway || Date.now() + delayMs > end) throw fault
      log.info({ delayMs }, 'waiting for the database')
    } finally {
      await client.end().catch(() => undefined)
    }
    await sleep(delayMs)
  }
}
