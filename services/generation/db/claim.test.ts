import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { silentLogger } from '../../lib/mesh/log.ts'
import { AlreadyClaimed, type Claim, claimDatabase } from './claim.ts'
import { createTestDatabase, databaseKinds } from './test-database.ts'

const describeOnPostgres = databaseKinds.includes('postgres') ? describe : describe.skip

describeOnPostgres('on PostgreSQL', () => {
  let database: Awaited<ReturnType<typeof createTestDatabase>>
  let admin: pg.Client
  /** Works beside the program's processes. */
  let rival: pg.Client
  const claims: Claim[] = []
  beforeAll(async () => {
    database = await createTestDatabase()
    admin = new pg.Client({ connectionString: database.url })
    rival = new pg.Client({ connectionString: database.url })
    await Promise.all([admin.connect(), rival.connect()])
  })
  afterEach(async () => {
    for (const claim of claims.splice(0)) await claim[Symbol.asyncDispose]()
  })
  afterAll(async () => {
    await Promise.all([admin.end(), rival.end()])
    await database.drop()
  })

  const claim = async (alone: boolean, { waitMs = 0, url = database.url, checkMs = 20 } = {}) => {
    const made = await claimDatabase({ url, alone, log: silentLogger, waitMs, checkMs })
    claims.push(made)
    return made
  }
  const rivalDoes = (what: string) => rival.query(`select ${what}(${0x6d6f6d61}, 1)`)
  /** Sessions of claims, by process id of the server's. */
  const sessions = async () => {
    const asked =
      "select pid, application_name as name from pg_stat_activity where application_name like 'moma-claim-%'"
    return (await admin.query<{ pid: number; name: string }>(asked)).rows
  }
  /** Ends the connections of all claims, as a server does that starts again. */
  const cut = async () => {
    for (const { pid } of await sessions()) await admin.query('select pg_terminate_backend($1)', [pid])
  }
  /** Whether a session other than this one has a claim by now. */
  const claimedAnew = async (before: number) => {
    for (let tries = 0; ; tries++) {
      const asked = "select pid from pg_locks where locktype = 'advisory' and granted"
      const { rows } = await admin.query<{ pid: number }>(asked)
      if (rows.length === 1 && rows[0]!.pid !== before) return
      if (tries > 500) throw new Error('it did not come about')
      await sleep(10)
    }
  }

  test('one process alone, or several that share a queue, and each gives it back', async () => {
    const alone = await claim(true)
    await expect(claim(true)).rejects.toBeInstanceOf(AlreadyClaimed)
    await expect(claim(false)).rejects.toBeInstanceOf(AlreadyClaimed)
    await alone[Symbol.asyncDispose]()
    await claim(false)
    await claim(false)
    await expect(claim(true)).rejects.toBeInstanceOf(AlreadyClaimed)
  })

  test('one that is still ending is waited for', async () => {
    const ending = await claim(true)
    setTimeout(() => ending[Symbol.asyncDispose](), 300)
    await claim(true, { waitMs: 5000 })
  })

  test('what a lost connection took is taken again', async () => {
    await claim(true)
    const [before] = await sessions()
    await cut()
    await claimedAnew(before!.pid)
    await expect(claim(true)).rejects.toBeInstanceOf(AlreadyClaimed)
  })

  test('a session of its own that the server has not missed yet is no other process', async () => {
    // Whatever the address calls it.
    await claim(true, { url: `${database.url}?application_name=mine` })
    const [before] = await sessions()
    const left = new pg.Client({ connectionString: database.url })
    left.on('error', () => undefined)
    await left.connect()
    await left.query("select set_config('application_name', $1, false)", [before!.name])
    const held = left.query(`select pg_advisory_lock(${0x6d6f6d61}, 1), pg_backend_pid() as pid`)
    await admin.query('select pg_terminate_backend($1)', [before!.pid])
    await claimedAnew((await held).rows[0].pid)
    await left.end().catch(() => undefined)
  })

  test('where another process was faster meanwhile, it is told', async () => {
    const first = await claim(true)
    // Taken the moment that it is free.
    const faster = rivalDoes('pg_advisory_lock')
    await cut()
    await faster
    await expect(first.lost).rejects.toBeInstanceOf(AlreadyClaimed)
    await rivalDoes('pg_advisory_unlock')
  }, 20_000)

  test('beside others nothing is lost, and it is taken again when it can be', async () => {
    const first = await claim(false)
    const [before] = await sessions()
    const faster = rivalDoes('pg_advisory_lock')
    await cut()
    await faster
    const told = await Promise.race([first.lost.catch(() => 'told'), sleep(500, 'not told')])
    expect(told).toBe('not told')
    await rivalDoes('pg_advisory_unlock')
    await claimedAnew(before!.pid)
  }, 20_000)
})
