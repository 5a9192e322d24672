import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { silentLogger } from '../../lib/mesh/log.ts'
import { newId, sha256 } from '../ids.ts'
import { type Database, openDatabase } from './database.ts'

/** A PostgreSQL server that tests may make databases in; without it they run over PGlite alone. */
const serverUrl = process.env.MOMA_TEST_DATABASE_URL

/** What tests of queries run over: PGlite always, PostgreSQL where there is one. */
export const databaseKinds: readonly Database['kind'][] = serverUrl ? ['pglite', 'postgres'] : ['pglite']

/** An empty database of its own. */
export async function openTestDatabase(kind: Database['kind']): Promise<Database> {
  if (kind === 'pglite') return openDatabase({ folder: null }, silentLogger)
  const { url, drop } = await createTestDatabase()
  const db = await openDatabase({ url }, silentLogger)
  return {
    ...db,
    async [Symbol.asyncDispose]() {
      await db[Symbol.asyncDispose]()
      await drop()
    },
  }
}

/** A database without tables on the test server. */
export async function createTestDatabase(): Promise<{ readonly url: string; drop(): Promise<void> }> {
  if (serverUrl === undefined) throw new TypeError('MOMA_TEST_DATABASE_URL is missing')
  const name = `moma_test_${randomBytes(6).toString('hex')}`
  await onServer(serverUrl, `create database ${name}`)
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return { url: url.href, drop: () => onServer(serverUrl, `drop database ${name} with (force)`) }
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

/** A row of `api_keys`, whole. */
export const newKey = (hash: string, name = 'a name') => ({
  id: newId('key'),
  tenant: 't',
  name,
  scopes: ['READ' as const],
  prefix: 'moma_',
  hash: sha256(hash),
  createdAt: new Date(1e12),
  revokedAt: null,
})
