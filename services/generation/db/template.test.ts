import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256 } from '../ids.ts'
import { openPglite } from './pglite.ts'
import * as schema from './schema.ts'
import { copyTemplate, makeTemplate, templateFolder } from './template.ts'

let folder: string
let cache: string
let template: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'moma-template-'))
  cache = join(folder, 'cache')
  template = templateFolder(cache)
  mkdirSync(join(cache, 'database-0.0.1-0123456789ab'), { recursive: true })
  mkdirSync(join(cache, 'of somebody else'))
  await makeTemplate(fill, cache)
}, 120_000)
afterAll(() => rmSync(folder, { recursive: true }))

async function fill(data: string): Promise<void> {
  const db = await openPglite(data, null)
  await db[Symbol.asyncDispose]()
}

const key = {
  id: 'key_1',
  tenant: 't',
  name: 'a name',
  scopes: ['READ' as const],
  prefix: 'moma_',
  hash: sha256('a key'),
  createdAt: new Date(),
  revokedAt: null,
}
const addedKeys = async (at: string, from: string | null) => {
  await using db = await openPglite(at, from)
  await db.run((queries) => queries.insert(schema.apiKeys).values(key))
  return await db.run((queries) => queries.$count(schema.apiKeys))
}

test('it is made once, in place of those of other versions alone', async () => {
  expect(readdirSync(cache).sort()).toEqual([template.split('/').at(-1), 'of somebody else'].sort())
  await makeTemplate(() => Promise.reject(new Error('made again')), cache)
})

test('what could not be made leaves nothing', async () => {
  const other = join(folder, 'other')
  await expect(makeTemplate(() => Promise.reject(new Error('disk full')), other)).rejects.toThrow('disk full')
  expect(readdirSync(other)).toEqual([])
})

test('each copy is an empty database of its own, and is opened again as it was left', async () => {
  for (const name of ['one', 'two']) expect(await addedKeys(join(folder, name), template)).toBe(1)
  await using again = await openPglite(join(folder, 'one'), template)
  expect(await again.run((queries) => queries.$count(schema.apiKeys))).toBe(1)
}, 60_000)

test('without a template, or with one that is not whole, the database is begun without it', async () => {
  const broken = join(folder, 'broken')
  mkdirSync(join(broken, 'data'), { recursive: true })
  writeFileSync(join(broken, 'extent.json'), JSON.stringify({ files: 2, bytes: 7 }))
  writeFileSync(join(broken, 'data/PG_VERSION'), '18\n')
  for (const from of [join(folder, 'none'), broken]) {
    expect(await copyTemplate(join(folder, 'copied'), from)).toBe(false)
    expect(existsSync(join(folder, 'copied'))).toBe(false)
    expect(existsSync(join(folder, 'copied.copy'))).toBe(false)
  }
  expect(await addedKeys(join(folder, 'three'), broken)).toBe(1)
}, 120_000)

test('a copy that can not be opened is put aside for a database begun anew', async () => {
  const unreadable = join(folder, 'unreadable')
  mkdirSync(join(unreadable, 'data'), { recursive: true })
  writeFileSync(join(unreadable, 'extent.json'), JSON.stringify({ files: 1, bytes: 3 }))
  writeFileSync(join(unreadable, 'data/PG_VERSION'), '18\n')
  expect(await addedKeys(join(folder, 'four'), unreadable)).toBe(1)
}, 120_000)
