import { setTimeout as sleep } from 'node:timers/promises'
import { hasNatsServer, type NatsServer, startNatsServer } from '../../../../test/nats.ts'
import { connectNats, type Nats } from '../nats.ts'
import type { Job, Jobs, JobsOptions } from './jobs.ts'
import { createMemoryJobs } from './memory-jobs.ts'
import { createNatsJobs } from './nats-jobs.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Within seconds, or the test says what did not come. */
async function nextOf(jobs: Jobs, timeoutMs = 5000): Promise<Job> {
  const job = await jobs.next(AbortSignal.timeout(timeoutMs))
  if (!job) throw new Error('no job came')
  return job
}

const noneOf = (jobs: Jobs, forMs = 150) => jobs.next(AbortSignal.timeout(forMs))

/** What every implementation does. */
function suite(create: (options?: Partial<JobsOptions>) => Promise<Jobs>) {
  test('jobs come in the order of adding, one that waits or is worked on once', async () => {
    const jobs = await create()
    for (const id of ['a', 'b', 'a', 'c']) await jobs.add(id)
    const first = await nextOf(jobs)
    await jobs.add('a')
    expect([first.id, (await nextOf(jobs)).id, (await nextOf(jobs)).id]).toEqual(['a', 'b', 'c'])
    expect(await noneOf(jobs)).toBeNull()
    await first.done()
    await jobs.add('a')
    expect(await nextOf(jobs)).toMatchObject({ id: 'a', delivery: 1 })
  })

  test('what is done does not come again', async () => {
    const jobs = await create({ ackWaitMs: 300 })
    await jobs.add('a')
    await (await nextOf(jobs)).done()
    expect(await noneOf(jobs, 500)).toBeNull()
  })

  test('without a sign of life it comes again; with signs it does not', async () => {
    const jobs = await create({ ackWaitMs: 500 })
    await jobs.add('a')
    const first = await nextOf(jobs)
    for (let sign = 0; sign < 5; sign++) {
      await sleep(200)
      first.working()
    }
    expect(await noneOf(jobs, 200)).toBeNull()
    const second = await nextOf(jobs)
    expect(second).toMatchObject({ id: 'a', delivery: 2 })
    // What a hand-out that is over says does not count.
    await first.done()
    expect(await nextOf(jobs)).toMatchObject({ id: 'a', delivery: 3 })
  }, 20_000)

  test('it comes again when it is given back, after the delay', async () => {
    const jobs = await create()
    await jobs.add('a')
    const given = performance.now()
    await (await nextOf(jobs)).again(300)
    expect(await nextOf(jobs)).toMatchObject({ id: 'a', delivery: 2 })
    expect(performance.now() - given).toBeGreaterThan(290)
  })

  test('what was handed out too often is forgotten, and may be added again', async () => {
    const jobs = await create({ maxDeliveries: 2, ackWaitMs: 300 })
    await jobs.add('given-back')
    await (await nextOf(jobs)).again(0)
    await (await nextOf(jobs)).again(0)
    await jobs.add('silent')
    await nextOf(jobs)
    await nextOf(jobs)
    expect(await noneOf(jobs, 600)).toBeNull()
    await jobs.add('given-back')
    await jobs.add('silent')
    expect([await nextOf(jobs), await nextOf(jobs)]).toMatchObject([
      { id: 'given-back', delivery: 1 },
      { id: 'silent', delivery: 1 },
    ])
  }, 20_000)

  test('no more are handed out at once than may be', async () => {
    const jobs = await create({ maxPending: 2 })
    for (const id of ['a', 'b', 'c']) await jobs.add(id)
    const [a] = [await nextOf(jobs), await nextOf(jobs)]
    const waiting = nextOf(jobs)
    expect(await Promise.race([waiting, sleep(150, 'waits')])).toBe('waits')
    await a.done()
    expect((await waiting).id).toBe('c')
  })

  test('each job has one taker, and an abandoned wait loses none', async () => {
    const jobs = await create()
    await Promise.all(Array.from({ length: 5 }, () => noneOf(jobs, 50)))
    const ids = Array.from({ length: 20 }, (_, index) => `job-${index}`)
    const takers = ids.map(() => nextOf(jobs))
    for (const id of ids) await jobs.add(id)
    const taken = await Promise.all(takers)
    expect(taken.map(({ id }) => id).sort()).toEqual(ids.sort())
  })

  test('an id that can not be carried is refused', async () => {
    const jobs = await create()
    await expect(jobs.add('a.b')).rejects.toThrow('job id is "a.b", allowed are 1 to 128 letters, digits, _ and -')
  })
}

describe('in memory', () => {
  suite(async (options) => {
    const jobs = createMemoryJobs(options)
    cleanups.push(() => jobs[Symbol.asyncDispose]())
    return jobs
  })
})

const describeNats = hasNatsServer ? describe : describe.skip

describeNats('over NATS', () => {
  let server: NatsServer
  let streams = 0
  beforeAll(async () => {
    server = await startNatsServer()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  async function open(): Promise<Nats> {
    const nats = await connectNats({ url: server.url, timeoutMs: 1000 })
    cleanups.push(() => nats[Symbol.asyncDispose]())
    return nats
  }
  const create = async (options: Partial<JobsOptions> = {}) => {
    const jobs = await createNatsJobs({ nats: await open(), ...options, stream: `TEST_JOBS${++streams}` })
    cleanups.push(() => jobs[Symbol.asyncDispose]())
    return jobs
  }
  suite(create)

  test('two processes share one queue', async () => {
    const [one, two] = [await createNatsJobs({ nats: await open() }), await createNatsJobs({ nats: await open() })]
    cleanups.push(
      () => one[Symbol.asyncDispose](),
      () => two[Symbol.asyncDispose](),
    )
    const takers = [nextOf(one), nextOf(two)]
    await one.add('a')
    await one.add('a')
    await one.add('b')
    expect((await Promise.all(takers)).map(({ id }) => id).sort()).toEqual(['a', 'b'])
    expect([await noneOf(one), await noneOf(two)]).toEqual([null, null])
  })

  test('a server that stops and comes back has what it kept; adding fails meanwhile, waiting does not', async () => {
    const jobs = await create()
    await jobs.add('kept')
    await server.stop()
    const waiting = nextOf(jobs, 10_000)
    await expect(jobs.add('lost')).rejects.toMatchObject({ name: 'MeshError', code: 'UNAVAILABLE' })
    await server.start()
    expect((await waiting).id).toBe('kept')
    await jobs.add('new')
    expect((await nextOf(jobs)).id).toBe('new')
  }, 20_000)

  test('a server that has lost its store gets its queue anew', async () => {
    const jobs = await create()
    await jobs.add('lost')
    const waiting = await nextOf(jobs)
    const next = nextOf(jobs, 15_000)
    await server.stop()
    waiting.working()
    await waiting.done()
    await server.start({ loseStore: true })
    // Refused as long as the connection is not back.
    while (
      !(await jobs.add('new').then(
        () => true,
        () => false,
      ))
    )
      await sleep(50)
    expect((await next).id).toBe('new')
  }, 30_000)

  test('a queue that somebody deletes is made anew', async () => {
    const jobs = await create()
    const nats = await open()
    const next = nextOf(jobs, 15_000)
    await sleep(100)
    await nats.manager.streams.delete(`TEST_JOBS${streams}`)
    await jobs.add('new')
    expect((await next).id).toBe('new')
  }, 30_000)
})
