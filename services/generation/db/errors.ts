import { DrizzleQueryError } from 'drizzle-orm/errors'
import { systemCode } from '../../lib/bundles/errors.ts'
import { MeshError } from '../../lib/mesh/errors.ts'

/** Conditions that pass (PostgreSQL, appendix A): connection exceptions, out of resources, shutting down or starting up. */
const passing = /^(08|53|57P0)/
/** Serialization failure, deadlock: the transaction may be begun anew. */
const anew = /^(40001|40P01)$/
const statementTimeout = '57014'
const lockTimeout = '55P03'
/** Bytes that are no text here: NUL, which PostgreSQL can't keep, in a text and in JSON. */
const notText = /^(22021|22P05)$/
const foreignKeyViolation = '23503'

/** What pg and the system say of a connection that is not there; pg has no codes for its own. */
const systemCodes =
  /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT|EHOSTDOWN)$/
const pgWords =
  /Connection terminated|Query read timeout|not queryable|Client has encountered a connection error|was closed and is not queryable/

/** The error below drizzle's, which repeats statement and values. */
function native(error: unknown): unknown {
  return error instanceof DrizzleQueryError && error.cause ? native(error.cause) : error
}

/** SQLSTATE, or the system's code. */
function codeIn(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return codeIn(error.errors[0])
  return systemCode(error) ?? ''
}

export const mayBeginAnew = (error: unknown): boolean => anew.test(codeIn(native(error)))

/** Whether a row that an insert points to has gone. */
export const isForeignKeyViolation = (error: unknown): boolean =>
  error instanceof MeshError && codeIn(error.cause) === foreignKeyViolation

/** Whether the connection that threw this is of no more use. */
export const isConnectionLost = (error: unknown): boolean => isAway(native(error))

function isAway(error: unknown): boolean {
  const code = codeIn(error)
  if (passing.test(code) || systemCodes.test(code)) return true
  return error instanceof Error && pgWords.test(error.message)
}

/** What pg says after waiting for one of its pool, or for the server to answer a new one. */
const noConnectionFree = (error: unknown): boolean =>
  error instanceof Error && /timeout exceeded when trying to connect/.test(error.message)

/** An error of drizzle, pg or PGlite as a MeshError without statement and values; any other error as it is. */
export function translateDatabaseError(error: unknown): unknown {
  const cause = native(error)
  if (cause instanceof MeshError) return cause
  if (isAway(cause)) {
    return new MeshError('UNAVAILABLE', "generation: the database can't be reached, try again later", bare(cause))
  }
  const code = codeIn(cause)
  if (noConnectionFree(cause) || code === statementTimeout || code === lockTimeout || anew.test(code)) {
    return new MeshError('UNAVAILABLE', 'generation: the database is too busy, try again later', bare(cause))
  }
  if (notText.test(code)) {
    return new MeshError('INVALID_ARGUMENT', 'a text of the request holds a NUL character, which is not allowed')
  }
  if (!/^[0-9A-Z]{5}$/.test(code) && !(error instanceof DrizzleQueryError)) return error
  return new MeshError('INTERNAL', 'generation: something went wrong', bare(cause))
}

/** Without `detail` and `where`, which repeat values. */
function bare(error: unknown): Error {
  const { constraint, table } = error as { constraint?: string; table?: string }
  const message = error instanceof Error ? error.message : String(error)
  return Object.assign(new Error(message), { code: codeIn(error), constraint, table })
}
