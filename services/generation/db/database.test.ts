import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateDrizzleJson, generateMigration } from 'drizzle-kit/api'
import { sql } from 'drizzle-orm'
import { findPostgres, startPostgres } from '../../../test/postgres.ts'
import { silentLogger } from '../../lib/mesh/log.ts'
import { type Database, openDatabase } from './database.ts'
import { migrationsFolder } from './migrations.ts'
import * as schema from './schema.ts'
import { createTestDatabase, databaseKinds, newKey, openTestDatabase } from './test-database.ts'

const addKey = (db: Database, hash: string, name?: string) =>
  db.run((queries) => queries.insert(schema.apiKeys).values(newKey(hash, name)))
const countKeys = (db: Database) => db.run((queries) => queries.$count(schema.apiKeys))

test('the migrations are what the schema says', async () => {
  const meta = join(migrationsFolder, 'meta')
  const latest = readdirSync(meta)
    .filter((name) => name.endsWith('_snapshot.json'))
    .sort()
    .at(-1)!
  const snapshot = JSON.parse(readFileSync(join(meta, latest), 'utf8'))
  expect(await generateMigration(snapshot, generateDrizzleJson(schema))).toEqual([])
})

describe.each(databaseKinds)('over %s', (kind) => {
  let db: Database
  beforeAll(async () => {
    db = await openTestDatabase(kind)
  }, 60_000)
  afterAll(() => db[Symbol.asyncDispose]())

  test('a transaction is all or nothing, and what it throws of its own passes', async () => {
    const own = new Error('changed my mind')
    const work = db.transaction(async (queries) => {
      await queries.insert(schema.apiKeys).values(newKey('rolled back'))
      throw own
    })
    await expect(work).rejects.toBe(own)
    expect(await countKeys(db)).toBe(0)
  })

  test('an error says neither statement nor values', async () => {
    await addKey(db, 'same', 'secret words')
    const error = await addKey(db, 'same', 'secret words').catch((caught: unknown) => caught)
    expect(error).toMatchObject({ name: 'MeshError', code: 'INTERNAL', message: 'generation: something went wrong' })
    const cause = (error as Error).cause as Error
    expect(JSON.stringify({ ...cause, message: cause.message })).not.toMatch(/secret words|insert/i)
  })
})

test('the embedded database is still there when it is opened again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'moma-pglite-'))
  try {
    for (const expected of [1, 2]) {
      await using db = await openDatabase({ folder }, silentLogger)
      await addKey(db, String(expected))
      expect(await countKeys(db)).toBe(expected)
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
}, 60_000)

const onPostgres = databaseKinds.includes('postgres') ? test : test.skip

onPostgres(
  'several copies may start at once on an empty database',
  async () => {
    const { url, drop } = await createTestDatabase()
    const copies = await Promise.all([1, 2, 3, 4].map(() => openDatabase({ url }, silentLogger)))
    for (const [index, copy] of copies.entries()) await addKey(copy, String(index))
    expect(await countKeys(copies[0]!)).toBe(4)
    for (const copy of copies) await copy[Symbol.asyncDispose]()
    await drop()
  },
  60_000,
)

const bin = process.env.MOMA_TEST_DATABASE_URL ? findPostgres() : null
const onOwnPostgres = bin ? test : test.skip

onOwnPostgres(
  'a server that goes away ends nothing: calls say UNAVAILABLE, and work again once it is back',
  async () => {
    await using server = await startPostgres(bin!)
    await using db = await openDatabase({ url: server.url }, silentLogger)
    await addKey(db, 'before')

    // Connections of every kind: idle, in a statement, in a transaction between statements.
    const open = Promise.withResolvers<void>()
    const inStatement = db.run((queries) => queries.execute(sql`select pg_sleep(10)`))
    const inTransaction = db.transaction(async (queries) => {
      await queries.insert(schema.apiKeys).values(newKey('lost'))
      await open.promise
      await queries.insert(schema.apiKeys).values(newKey('lost too'))
    })
    const ends = Promise.allSettled([inStatement, inTransaction])
    await countKeys(db)
    server.stop()
    open.resolve()
    for (const end of await ends) expect(end).toMatchObject({ status: 'rejected', reason: { code: 'UNAVAILABLE' } })
    // More than the pool has connections: none may be lost to it.
    for (let call = 0; call < 25; call++) {
      await expect(countKeys(db)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      const nothing = db.transaction(async (queries) => queries.$count(schema.apiKeys))
      await expect(nothing).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    }
    server.start()
    expect(await countKeys(db)).toBe(1)
    expect(await db.transaction(async (queries) => queries.$count(schema.apiKeys))).toBe(1)
  },
  60_000,
)

onOwnPostgres(
  'a server that is not there yet is waited for',
  async () => {
    await using server = await startPostgres(bin!)
    server.stop()
    await expect(openDatabase({ url: server.url }, silentLogger, 200)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    const opening = openDatabase({ url: server.url }, silentLogger)
    server.start()
    await using db = await opening
    expect(await countKeys(db)).toBe(0)
  },
  60_000,
)
