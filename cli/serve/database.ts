import { AlreadyClaimed, type Claim, claimDatabase } from '../../services/generation/db/claim.ts'
import { ConfigError } from '../../services/lib/mesh/config.ts'
import type { Logger } from '../../services/lib/mesh/log.ts'
import { type Lock, LockHeld, takeLock } from '../../services/lib/process-lock/lock.ts'
import { exitCodes } from '../codes.ts'
import { databaseLock } from '../start/data.ts'

/** An earlier process on the same data may still be ending. */
const earlierWaitMs = 15_000

/** Takes the folder of the embedded database. Throws a ConfigError where another process has it. */
export async function takeDatabaseFolder(folder: string, log: Logger, waitMs = earlierWaitMs): Promise<Lock> {
  const onLost = () => {
    // Whatever this process still wrote would destroy what the other one has.
    log.fatal({ folder }, 'the lock on the database is gone, as after a sleep: another process may have it open')
    process.exit(exitCodes.fault)
  }
  try {
    return await takeLock(databaseLock(folder), { waitMs, onLost })
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error
    const held = `MOMA_DATA is ${folder}, whose database ${error.who} has open`
    throw new ConfigError(`${held}; allowed: a folder of its own, or DATABASE_URL and NATS_URL for several.`)
  }
}

/**
 * Sees to it that all processes on one PostgreSQL share a queue: with queues of their own, each begins again what another
 * one works on. Throws a ConfigError where they don't; so does the claim's `lost`, later.
 */
export async function claimServer(
  { DATABASE_URL: url, NATS_URL: queue }: { readonly DATABASE_URL: string; readonly NATS_URL?: string | undefined },
  log: Logger,
  waitMs = earlierWaitMs,
): Promise<Claim> {
  const told = (error: unknown): never => {
    if (!(error instanceof AlreadyClaimed)) throw error
    const how = queue === undefined ? 'NATS_URL is missing, and' : 'NATS_URL is set, but without it'
    const other = 'another process works on the database of DATABASE_URL'
    throw new ConfigError(`${how} ${other}; allowed: one NATS_URL for all of them, or a database of its own.`)
  }
  const claim = await claimDatabase({ url, alone: queue === undefined, log, waitMs }).catch(told)
  const lost = claim.lost.catch(told)
  lost.catch(() => undefined)
  return { lost, [Symbol.asyncDispose]: () => claim[Symbol.asyncDispose]() }
}
