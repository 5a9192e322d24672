import { eq, inArray, type Placeholder, sql } from 'drizzle-orm'
import type { Database } from './database.ts'
import { momentOf, prepared, rowPlaces, rowValues } from './prepared.ts'
import { apiKeys } from './schema.ts'
import { databaseKinds, newKey, openTestDatabase } from './test-database.ts'

describe.each(databaseKinds)('over %s', (kind) => {
  let db: Database
  beforeAll(async () => {
    db = await openTestDatabase(kind)
  }, 60_000)
  afterAll(() => db[Symbol.asyncDispose]())

  test('rows of any number go in whole, and are found by what stands in a place', async () => {
    const insert = prepared((queries, value: (name: string) => Placeholder, count) =>
      queries.insert(apiKeys).values(rowPlaces(apiKeys, value, count).map((row) => ({ ...row, revokedAt: null }))),
    )
    const find = prepared((queries, value: (name: 'since' | 'id') => Placeholder) =>
      queries
        .select()
        .from(apiKeys)
        .where(sql`${apiKeys.createdAt} >= ${momentOf(value('since'))} and ${eq(apiKeys.id, value('id'))}`),
    )
    const rows = ['one', 'two', 'three'].map((name) => newKey(name, name))
    await db.run((queries) => insert(queries, rowValues(rows.slice(0, 1)), 1))
    await db.transaction((queries) => insert(queries, rowValues(rows.slice(1)), 2))
    for (const row of rows) {
      const found = (since: Date) => db.run((queries) => find(queries, { id: row.id, since: since.toISOString() }))
      expect(await found(row.createdAt)).toEqual([row])
      expect(await found(new Date(row.createdAt.getTime() + 1))).toEqual([])
    }
  })

  test('a statement is put together once a shape, and inside of transactions once more', async () => {
    const shapes: number[] = []
    const find = prepared((queries, value: (name: string) => Placeholder, shape) => {
      shapes.push(shape)
      const places = Array.from({ length: shape }, (_, index) => value(`name${index}`))
      return queries.select({ name: apiKeys.name }).from(apiKeys).where(inArray(apiKeys.name, places))
    })
    const count = async (...names: string[]) => {
      const values = rowValues(names.map((name) => ({ name })))
      const outside = await db.run((queries) => find(queries, values, names.length))
      const inside = await db.transaction((queries) => find(queries, values, names.length))
      expect(inside).toEqual(outside)
      return outside.length
    }
    await db.run((queries) => queries.insert(apiKeys).values(newKey('kept', 'kept')))
    expect(await count('kept')).toBe(1)
    expect(await count('other')).toBe(0)
    expect(await count('kept', 'other')).toBe(1)
    // A transaction of PostgreSQL has a connection of its own.
    expect(shapes).toEqual(kind === 'pglite' ? [1, 1, 2, 2] : [1, 1, 1, 2, 2])
  })

  test('a place without a value is refused', async () => {
    const find = prepared((queries, value: (name: 'id') => Placeholder) =>
      queries
        .select()
        .from(apiKeys)
        .where(eq(apiKeys.id, value('id'))),
    )
    await expect(db.run((queries) => find(queries, {} as never))).rejects.toThrow('"id"')
  })
})
