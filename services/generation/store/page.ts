import { type SQL, sql } from 'drizzle-orm'
import type { PgColumn } from 'drizzle-orm/pg-core'
import { invalid } from '../../lib/mesh/errors.ts'

/** Where a page starts: after this row, in the order from the newest to the oldest. */
export interface PagePlace {
  readonly createdAt: Date
  readonly id: string
}

export interface PageRequest {
  /** 1 … 100. */
  readonly size: number
  readonly after: PagePlace | null
}

export interface Page<Row> {
  readonly rows: readonly Row[]
  /** A page that starts after each row. */
  readonly tokens: readonly string[]
  /** Empty at the end. */
  readonly nextToken: string
}

/** Reads what a list is asked for with. Throws INVALID_ARGUMENT on a size outside 1 … 100 and on a token that is none of ours. */
export function readPageRequest(size: number, token: string): PageRequest {
  if (size < 1 || size > 100) throw invalid('page_size', size, 'a whole number from 1 to 100')
  return { size, after: token === '' ? null : readToken(token) }
}

/** Rows before the place, in descending order. */
export function beforePlace(createdAt: PgColumn, id: PgColumn, after: PagePlace | null): SQL | undefined {
  if (!after) return undefined
  return sql`(${createdAt}, ${id}) < (${after.createdAt.toISOString()}::timestamptz, ${after.id})`
}

/** Of rows that were asked for with a limit of `size + 1`. */
export function pageOf<Row extends PagePlace>(found: readonly Row[], { size }: PageRequest): Page<Row> {
  const rows = found.slice(0, size)
  const tokens = rows.map(tokenOf)
  return { rows, tokens, nextToken: found.length > size ? tokens.at(-1)! : '' }
}

const tokenOf = ({ createdAt, id }: PagePlace): string =>
  Buffer.from(`${createdAt.getTime()} ${id}`).toString('base64url')

/** Later years have more digits than the database reads. */
const lastMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

function readToken(token: string): PagePlace {
  const match = /^(\d{1,15}) ([\w-]{1,64})$/.exec(Buffer.from(token, 'base64url').toString())
  if (!match || Number(match[1]) > lastMs) throw invalid('page_token', token, 'a token that an earlier page gave')
  return { createdAt: new Date(Number(match[1])), id: match[2]! }
}
