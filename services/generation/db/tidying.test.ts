import { randomBytes } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { defaultLimits } from '../limits.ts'
import { startSweeping } from '../sweep.ts'
import { openWorld, type World } from '../test-world.ts'
import { createTidying } from './tidying.ts'

const hourMs = 3600_000

let world: World
beforeAll(async () => {
  world = await openWorld('pglite')
}, 60_000)
afterAll(() => world[Symbol.asyncDispose]())

/** Generations that keep a checkpoint of a quarter of a megabyte again and again. */
async function draw(generations: number, kept: number) {
  const subject = await world.addSubject('t')
  for (let made = 0; made < generations; made++) {
    const run = await world.runStore.begin((await world.addGeneration(subject)).id)
    for (let step = 1; step <= kept; step++) await world.runStore.keepStep(run!, step, randomBytes(2 ** 18))
    await world.runStore.end(run!, 'CANCELED', null)
  }
}

/** In bytes: what the checkpoints take, and the log that a start after a crash would have to read. */
async function sizes() {
  const { rows } = (await world.db.run((queries) =>
    queries.execute(sql`select pg_total_relation_size('checkpoints')::float8 as table,
      (pg_current_wal_lsn() - redo_lsn)::float8 as log from pg_control_checkpoint()`),
  )) as unknown as { rows: [{ table: number; log: number }] }
  return rows[0]
}

test('once an hour, the embedded database gives back what dead rows and its log have taken', async () => {
  let nowMs = 0
  const tidy = createTidying(world.db, { now: () => nowMs })
  for (let round = 1; round <= 2; round++) {
    await draw(2, 6)
    const full = await sizes()
    expect(full.table).toBeGreaterThan(3e6)
    expect(full.log).toBeGreaterThan(3e6)
    nowMs += hourMs - 1
    expect(await tidy()).toBe(false)
    nowMs += 1
    expect(await tidy()).toBe(true)
    const tidied = await sizes()
    expect(tidied.table).toBeLessThan(1e6)
    expect(tidied.log).toBeLessThan(1e6)
  }
  expect(await tidy()).toBe(false)
}, 60_000)

test('sooner where much has gathered, as of processes before this one', async () => {
  await draw(1, 8)
  const tidy = createTidying(world.db, { grownBytes: 2e6 })
  expect(await tidy()).toBe(true)
  expect(await tidy()).toBe(false)
  expect((await sizes()).table).toBeLessThan(1e6)
}, 60_000)

test('the sweep sees to it', async () => {
  await draw(1, 8)
  {
    await using _sweeping = startSweeping({ ...world, limits: defaultLimits, tidying: { grownBytes: 2e6 } })
  }
  expect((await sizes()).table).toBeLessThan(1e6)
})

test("a server's database is left to itself", async () => {
  const run = () => {
    throw new Error('asked')
  }
  let nowMs = 0
  const tidy = createTidying({ kind: 'postgres', run }, { now: () => nowMs })
  nowMs = 2 * hourMs
  expect(await tidy()).toBe(false)
})
