import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '../../services/lib/mesh/log.ts'
import { findPostgres, startPostgres, type TestPostgres } from '../../test/postgres.ts'
import { databaseLock } from '../start/data.ts'
import { claimServer, takeDatabaseFolder } from './database.ts'

const several = 'allowed: a folder of its own, or DATABASE_URL and NATS_URL for several.'

describe('the embedded database', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'moma-database-'))
  })
  afterEach(() => rm(folder, { recursive: true }))

  test('is one process at a time', async () => {
    await using _taken = await takeDatabaseFolder(folder, silentLogger)
    await expect(takeDatabaseFolder(folder, silentLogger, 0)).rejects.toMatchObject({
      name: 'ConfigError',
      message: `MOMA_DATA is ${folder}, whose database process ${process.pid} has open; ${several}`,
    })
  })

  test('may be open in another container', async () => {
    const file = databaseLock(folder)
    const holder = { pid: 1, startedAt: '1', addresses: {}, namespace: 'pid:[1] of a container', host: '4f2a' }
    await writeFile(file, JSON.stringify(holder))
    const living = setInterval(() => utimes(file, new Date(), new Date()), 200)
    await expect(takeDatabaseFolder(folder, silentLogger, 0)).rejects.toMatchObject({
      name: 'ConfigError',
      message: `MOMA_DATA is ${folder}, whose database process 1 on host 4f2a has open; ${several}`,
    })
    clearInterval(living)
  })

  test('is not written to for a moment longer once another process has taken it', async () => {
    const script = `
      const { takeDatabaseFolder } = await import(${JSON.stringify(new URL('database.ts', import.meta.url).href)})
      const { silentLogger } = await import(${JSON.stringify(new URL('../../services/lib/mesh/log.ts', import.meta.url).href)})
      await takeDatabaseFolder(${JSON.stringify(folder)}, silentLogger)
      console.log('taken')
      process.stdin.resume().on('end', () => process.exit())`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    await writeFile(databaseLock(folder), JSON.stringify({ pid: process.pid, startedAt: null, addresses: {} }))
    expect((await once(child, 'exit'))[0]).toBe(1)
  }, 20_000)
})

const bin = findPostgres()
const describeOnPostgres = bin ? describe : describe.skip

describeOnPostgres('a PostgreSQL', () => {
  let server: TestPostgres
  beforeAll(async () => {
    server = await startPostgres(bin!)
  }, 60_000)
  afterAll(() => server[Symbol.asyncDispose]())

  const claim = (queue?: string) => claimServer({ DATABASE_URL: server.url, NATS_URL: queue }, silentLogger, 0)
  const allowed = 'allowed: one NATS_URL for all of them, or a database of its own.'

  test('is of one process where its queue is inside it: whoever comes next is told what is missing', async () => {
    await using _first = await claim()
    await expect(claim()).rejects.toMatchObject({
      name: 'ConfigError',
      message: `NATS_URL is missing, and another process works on the database of DATABASE_URL; ${allowed}`,
    })
    await expect(claim('nats://host:4222')).rejects.toMatchObject({
      name: 'ConfigError',
      message: `NATS_URL is set, but without it another process works on the database of DATABASE_URL; ${allowed}`,
    })
  })

  test('is of all processes that share a queue', async () => {
    await using _first = await claim('nats://host:4222')
    await using _second = await claim('nats://host:4222')
    await expect(claim()).rejects.toThrow('NATS_URL is missing')
  })
})
