import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { Logger } from '../../lib/mesh/log.ts'
import { translateDatabaseError } from './errors.ts'

/** This process's word that it works on a PostgreSQL database, which others can see. */
export interface Claim extends AsyncDisposable {
  /** Throws an AlreadyClaimed when the claim is another process's: the connection was away, and that one was faster. */
  readonly lost: Promise<never>
}

/** Another process works on the database, and one of the two wants it for itself. */
export class AlreadyClaimed extends Error {
  override readonly name = 'AlreadyClaimed'
}

export interface ClaimOptions {
  readonly url: string
  /** With a queue that no other process sees. Otherwise beside others: those that share one. */
  readonly alone: boolean
  readonly log: Logger
  /** How long another process's claim is waited for: it may still be ending. */
  readonly waitMs: number
  readonly checkMs?: number
}

/** Names of the advisory lock: "moma" in ASCII, and what of it. */
const lock = [0x6d6f6d61, 1]
const retryMs = 250

/** After its connection was lost, how long a claim may take to come free that can only be this process's own. */
const ownWaitMs = 5000

/** How soon the server notices that a claim's machine is gone; its own default is two hours. */
const keepalives = 'set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3'

/**
 * Claims a database for as long as this process lives, on a connection of its own. One that is lost is made anew, for as
 * long as that takes: nobody can work on a database that is away. Throws AlreadyClaimed, or UNAVAILABLE.
 */
export async function claimDatabase(options: ClaimOptions): Promise<Claim> {
  const { url, alone, log, waitMs, checkMs = 5000 } = options
  /** What only this process's sessions are called. */
  const session = `moma-claim-${randomUUID()}`
  const lost = Promise.withResolvers<never>()
  lost.promise.catch(() => undefined)
  const ended = new AbortController()

  const connect = async (waitMs: number): Promise<pg.Client> => {
    const bounds = { connectionTimeoutMillis: 5000, query_timeout: 10_000, keepAlive: true }
    const client = new pg.Client({ ...bounds, connectionString: url })
    client.on('error', () => undefined)
    try {
      await client.connect()
      await client.query(keepalives)
      // A server may hold on to a session that is dead on this side.
      const others = 'from pg_stat_activity where application_name = $1'
      await client.query(`select pg_terminate_backend(pid) ${others}`, [session])
      // Here, since an address may bring a name of its own.
      await client.query("select set_config('application_name', $1, false)", [session])
      for (const until = performance.now() + waitMs; ; await sleep(retryMs, undefined, { signal: ended.signal })) {
        const attempt = `select pg_try_advisory_lock${alone ? '' : '_shared'}($1, $2) as taken`
        const { rows } = await client.query<{ taken: boolean }>(attempt, lock)
        if (rows[0]!.taken) return client
        if (performance.now() >= until) throw new AlreadyClaimed('another process works on the database')
      }
    } catch (error) {
      letGo(client)
      throw translateDatabaseError(error)
    }
  }

  let client: pg.Client | null = await connect(waitMs)
  const hold = async () => {
    while (!ended.signal.aborted) {
      await sleep(checkMs, undefined, { signal: ended.signal, ref: false }).catch(() => undefined)
      if (ended.signal.aborted) return
      try {
        if (client) await client.query('select 1')
        else client = await connect(ownWaitMs)
      } catch (err) {
        if (client) letGo(client)
        client = null
        log.warn({ err }, 'the claim on the database is not certain')
        if (alone && err instanceof AlreadyClaimed) return lost.reject(err)
      }
    }
  }
  const holding = hold()
  return {
    lost: lost.promise,
    async [Symbol.asyncDispose]() {
      ended.abort()
      await holding
      const last = client
      client = null
      // Ending the connection gives the lock back.
      await last?.end().catch(() => undefined)
    },
  }
}

/** Without waiting: to a server that is away there is nobody to say goodbye to. */
const letGo = (client: pg.Client) => void client.end().catch(() => undefined)
