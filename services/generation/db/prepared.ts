import { getTableColumns, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import type { Queries } from './database.ts'

/** What drizzle's builders of statements have in common. */
interface Preparable<Rows> {
  prepare(name: string): { execute(values: Record<string, unknown>): Promise<Rows> }
}

/** Carries a statement out. `shape` is what `build` was given: one statement is put together for each. */
export type Prepared<Name extends string, Rows> = (
  queries: Queries,
  values: Readonly<Record<Name, unknown>>,
  shape?: number,
) => Promise<Rows>

/**
 * A statement that drizzle puts together once for every `Queries`, with `value(name)` where a value is to stand: putting a
 * small one together takes longer than carrying it out. Values that stand in an insert's row are written as their
 * column's, and must not be null; all others as they are, so a moment is said in ISO 8601.
 */
export function prepared<Name extends string, Rows>(
  build: (queries: Queries, value: (name: Name) => Placeholder<Name>, shape: number) => Preparable<Rows>,
): Prepared<Name, Rows> {
  const kept = new WeakMap<Queries, Map<number, ReturnType<Preparable<Rows>['prepare']>>>()
  return (queries, values, shape = 0) => {
    const own = kept.get(queries) ?? new Map<number, ReturnType<Preparable<Rows>['prepare']>>()
    kept.set(queries, own)
    // Without a name it is the connection's business whether the server keeps it: not every proxy lets it.
    const statement = own.get(shape) ?? build(queries, sql.placeholder, shape).prepare('')
    own.set(shape, statement)
    return statement.execute(values)
  }
}

/** The moment that stands in a place, in ISO 8601. */
export function momentOf(place: Placeholder): SQL {
  return sql`${place}::timestamptz`
}

/** `count` rows for an insert, with a place for every column of each; `rowValues` has what is to stand there. */
export function rowPlaces<Table extends PgTable>(
  table: Table,
  value: (name: string) => Placeholder,
  count: number,
): Table['$inferInsert'][] {
  const columns = Object.keys(getTableColumns(table))
  return Array.from({ length: count }, (_, index): Table['$inferInsert'] =>
    Object.fromEntries(columns.map((column) => [column, value(`${column}${index}`)])),
  )
}

/** The values of whole rows under the names that `rowPlaces` gives them: a column's name and the row's number. */
export function rowValues(rows: readonly object[]): Record<string, unknown> {
  return Object.fromEntries(
    rows.flatMap((row, index) => Object.entries(row).map(([column, value]) => [`${column}${index}`, value])),
  )
}
