import type { PGlite } from '@electric-sql/pglite'
import { createClient } from './pglite.ts'
import { createStatements } from './statements.ts'

let client: PGlite
beforeAll(async () => {
  client = await createClient()
}, 60_000)
afterAll(() => client.close())
beforeEach(() =>
  client.exec(`deallocate all; drop table if exists kept; create table kept (
    id int primary key, word text, bytes bytea, list text[], doc jsonb, at timestamptz, big bigint, yes boolean)`),
)

const insert = 'insert into kept values ($1, $2, $3, $4, $5, $6, $7, $8)'
const row = [1, "it's", Uint8Array.of(0, 255), ['a', 'b,"c'], { key: [1, null] }, new Date(0), 2n ** 53n, true]
const preparedCount = async () => (await client.query('select from pg_prepared_statements')).rows.length

test('values and rows are what PGlite itself makes of them', async () => {
  const { query } = createStatements(client)
  expect(await query(insert, row)).toMatchObject({ affectedRows: 1, rows: [] })
  await query(insert, [2, null, undefined, ...Array.from({ length: 5 }, () => null)])
  for (const rowMode of ['array', 'object'] as const) {
    const select = 'select * from kept where id > $1 order by id'
    expect(await query(select, [0], { rowMode })).toEqual(await client.query(select, [0], { rowMode }))
  }
})

test('a statement is prepared once, and anew when its plan is old', async () => {
  let now = 0
  const { query } = createStatements(client, { planMs: 10, now: () => now })
  for (const value of [1, 2, 3]) expect((await query('select $1::int as value', [value])).rows).toEqual([{ value }])
  expect(await preparedCount()).toBe(1)
  now = 10
  expect((await query('select $1::int as value', [4])).rows).toEqual([{ value: 4 }])
  expect(await preparedCount()).toBe(1)
})

test('no more statements are kept than may be', async () => {
  const { query } = createStatements(client, { most: 2 })
  for (const value of [1, 2, 3, 1]) expect((await query(`select ${value} as value`)).rows).toEqual([{ value }])
  expect(await preparedCount()).toBe(2)
})

test('after an error, in parsing as in carrying out, the next statement is as ever', async () => {
  const { query } = createStatements(client)
  await query(insert, row)
  for (let time = 0; time < 2; time++) {
    await expect(query(insert, row)).rejects.toMatchObject({ code: '23505' })
    await expect(query('select nothing from nowhere')).rejects.toMatchObject({ code: '42P01' })
    await expect(query(insert, ['no number', ...row.slice(1)])).rejects.toMatchObject({ code: '22P02' })
    expect((await query('select count(*)::int as rows from kept')).rows).toEqual([{ rows: 1 }])
  }
})

test('a transaction is all or nothing, and nothing else comes in between', async () => {
  const { query, transaction, queryInside: inside } = createStatements(client)
  const count = 'select count(*)::int as rows from kept'
  const failing = transaction(async () => {
    await inside(insert, row)
    // Prepared inside what is rolled back, it stays.
    await inside(count)
    await inside(insert, row)
  })
  const after = query(count)
  await expect(failing).rejects.toMatchObject({ code: '23505' })
  expect((await after).rows).toEqual([{ rows: 0 }])
  await expect(transaction(() => inside(insert, row).then(() => Promise.reject(new Error('own'))))).rejects.toThrow(
    'own',
  )
  // Swallowed, an error still keeps the rest from being done.
  const swallowed = transaction(() => inside('select 1 / $1', [0]).catch(() => undefined))
  await expect(swallowed).rejects.toMatchObject({ code: '25P02' })
  await transaction(() => inside(insert, row))
  expect((await query(count)).rows).toEqual([{ rows: 1 }])
})

test('what comes after its transaction has ended is refused', async () => {
  const { transaction, queryInside } = createStatements(client)
  await expect(queryInside('select 1')).rejects.toThrow('there is no transaction')
  await transaction(() => queryInside('select 1'))
  await expect(queryInside('select 1')).rejects.toThrow('there is no transaction')
})
