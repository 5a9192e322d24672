import type { Events } from '../lib/mesh/events/events.ts'
import { createMemoryEvents } from '../lib/mesh/events/memory-events.ts'
import type { Progress__Output as Progress } from '../lib/mesh/generated/moma/generation/v1/Progress.ts'
import type { GenerationClient } from './client.ts'
import { databaseKinds } from './db/test-database.ts'
import { parseCursor, publishProgress, type Snapshot } from './progress.ts'
import type { Run } from './runner/run-store.ts'
import { type ServedWorld, serveWorld } from './test-server.ts'
import { allowed, newAsset } from './test-world.ts'

/** For watchers that are to look at the row. */
const quietMs = 50

const short = ({ status, stage, step }: Progress) =>
  [status.replace('GENERATION_STATUS_', ''), stage.replace('STAGE_', ''), step].join(' ')

describe.each(databaseKinds)('over %s', (kind) => {
  let world: ServedWorld
  beforeAll(async () => {
    world = await serveWorld(kind)
  }, 60_000)
  afterAll(() => world[Symbol.asyncDispose]())

  const tenant = 't'
  const created = async (): Promise<string> => (await world.addGeneration(await world.addSubject(tenant))).id
  const begun = async (): Promise<Run> => (await world.runStore.begin(await created()))!

  /** What a runner does at a step: the row first, then who watches. */
  const step = async (run: Run, at: number, more: Partial<Snapshot> = {}, events: Events = world.events) => {
    await world.runStore.enterStages(run, [{ stage: 'DENOISE', at: world.now() }])
    await world.runStore.keepStep(run, at, null)
    await publishProgress(events, {
      id: run.id,
      attempt: run.attempt,
      status: 'RUNNING',
      stage: 'DENOISE',
      step: at,
      steps: 20,
      imageIndex: 0,
      queuePosition: 0,
      etaMs: 1000,
      preview: null,
      mask: null,
      time: new Date(),
      ...more,
    })
  }
  const succeed = (run: Run) =>
    world.runStore.succeed(run, [{ index: 0, seed: 1, image: newAsset('i'), mask: newAsset('m'), verdict: allowed }])

  /** Watches until `enough`, or to the end. */
  const watch = async (
    id: string,
    {
      after = '',
      client = world.client,
      onEach,
    }: { after?: string; client?: GenerationClient; onEach?: (seen: Progress[]) => unknown } = {},
  ): Promise<Progress[]> => {
    const seen: Progress[] = []
    for await (const { progress } of client.watchGeneration({ tenant, id, after })) {
      seen.push(progress!)
      if ((await onEach?.(seen)) === 'enough') break
    }
    return seen
  }

  test('the latest comes at once, then everything to the end', async () => {
    const run = await begun()
    await step(run, 3)
    const seen = await watch(run.id, {
      async onEach({ length }) {
        if (length === 2) await step(run, 4)
        if (length === 3) await succeed(run)
      },
    })
    // What the row says, and the latest event, which may know more: a preview, the time that is left.
    expect(seen.map(short)).toEqual([
      'RUNNING DENOISE 3',
      'RUNNING DENOISE 3',
      'RUNNING DENOISE 4',
      'SUCCEEDED UNSPECIFIED 4',
    ])
    expect(seen.map(({ etaMs }) => etaMs)).toEqual([undefined, 1000, 1000, undefined])
    expect(seen.at(-1)!.fraction).toBe(1)
  })

  test('with a cursor it goes on after it, without gaps', async () => {
    const run = await begun()
    for (const at of [1, 2, 3]) await step(run, at)
    const [, latest] = await watch(run.id, { onEach: ({ length }) => (length === 2 ? 'enough' : undefined) })
    for (const at of [4, 5, 6]) await step(run, at)
    await succeed(run)
    const seen = await watch(run.id, { after: latest!.cursor })
    expect(seen.map(({ step }) => step)).toEqual([4, 5, 6, 6])
    expect(await watch(run.id, { after: seen.at(-1)!.cursor })).toEqual([])
  })

  test('one that ended before is told as it ended, once, and that is all', async () => {
    const run = await begun()
    await step(run, 3)
    await succeed(run)
    expect((await watch(run.id)).map(short)).toEqual(['SUCCEEDED UNSPECIFIED 3'])
    const ended = await world.addGeneration(await world.addSubject(tenant), { status: 'FAILED' })
    expect((await watch(ended.id)).map(short)).toEqual(['FAILED UNSPECIFIED 0'])
  })

  test('the cursor that polling gives goes on from there', async () => {
    const run = await begun()
    await step(run, 3)
    const { generations } = await world.client.getGenerations({ tenant, ids: [run.id] })
    await step(run, 4)
    const seen = await watch(run.id, { after: generations[0]!.cursor, onEach: () => 'enough' })
    expect(seen.map(short)).toEqual(['RUNNING DENOISE 4'])
  })

  test('nothing goes back: late words of an earlier attempt, or of one asked to stop, are not passed on', async () => {
    const old = await begun()
    const seen = await watch(old.id, {
      async onEach({ length }) {
        if (length !== 1) return
        await step(old, 9)
        const next = await world.runStore.begin(old.id)
        await step(next!, 2)
        await publishLate(old, 10)
        await world.client.cancelGeneration({ tenant, id: old.id })
        await publishLate(next!, 3)
        await world.runStore.end(next!, 'CANCELED', null)
        await publishLate(next!, 4)
      },
    })
    expect(seen.map(short)).toEqual([
      'RUNNING UNSPECIFIED 0',
      'RUNNING DENOISE 9',
      'RUNNING DENOISE 2',
      'CANCELING DENOISE 2',
      'CANCELED UNSPECIFIED 2',
    ])
  })
  const publishLate = (run: Run, at: number) => step(run, at)

  test('what was never published is read from the row', async () => {
    await using elsewhere = createMemoryEvents()
    const client = await world.serve({ events: elsewhere, quietMs })
    const run = await begun()
    const seen = await watch(run.id, {
      client,
      async onEach({ length }) {
        // Published where this watcher does not hear it.
        if (length === 1) await step(run, 5)
        if (length === 2) await succeed(run)
      },
    })
    expect(seen.map(short)).toEqual(['RUNNING UNSPECIFIED 0', 'RUNNING DENOISE 5', 'SUCCEEDED UNSPECIFIED 5'])
  })

  test('a cursor of events that are all lost gives what the row says', async () => {
    const run = await begun()
    await step(run, 5)
    const [, latest] = await watch(run.id, { onEach: ({ length }) => (length === 2 ? 'enough' : undefined) })
    await using fresh = createMemoryEvents()
    const client = await world.serve({ events: fresh, quietMs })
    await succeed(run)
    expect((await watch(run.id, { client, after: latest!.cursor })).map(short)).toEqual(['SUCCEEDED UNSPECIFIED 5'])
  })

  test('events that fail are no end: the row is looked at instead', async () => {
    const broken: Events = {
      publish: async () => {
        throw new Error('no events')
      },
      // biome-ignore lint/correctness/useYield: it fails before the first
      async *subscribe() {
        throw new Error('no events')
      },
      [Symbol.asyncDispose]: async () => undefined,
    }
    const client = await world.serve({ events: broken, quietMs })
    const run = await begun()
    const seen = await watch(run.id, {
      client,
      async onEach({ length }) {
        if (length === 1) await step(run, 5)
        if (length === 2) await client.cancelGeneration({ tenant, id: run.id })
        if (length === 3) await world.runStore.end(run, 'CANCELED', null)
      },
    })
    expect(seen.map(short)).toEqual([
      'RUNNING UNSPECIFIED 0',
      'RUNNING DENOISE 5',
      'CANCELING DENOISE 5',
      'CANCELED UNSPECIFIED 5',
    ])
  })

  test('who waits hears how the queue moves', async () => {
    const client = await world.serve({ quietMs })
    const [first, second] = [await created(), await created()]
    const seen = await watch(second, {
      client,
      async onEach({ length }) {
        if (length === 1) await world.runStore.begin(first)
        return length === 2 ? 'enough' : undefined
      },
    })
    expect(seen.map(short)).toEqual(['QUEUED UNSPECIFIED 0', 'QUEUED UNSPECIFIED 0'])
    expect(seen[0]!.queuePosition - seen[1]!.queuePosition).toBe(1)
  })

  test('a late watcher gets the kept preview, whose address ends with the next one', async () => {
    await using fresh = createMemoryEvents()
    const client = await world.serve({ events: fresh })
    const run = await begun()
    await world.runStore.enterStages(run, [{ stage: 'DENOISE', at: world.now() }])
    const first = await world.runStore.keepPreviews(run, { preview: newAsset('first') })
    const second = await world.runStore.keepPreviews(run, { preview: newAsset('second') })
    const [seen] = await watch(run.id, { client, onEach: () => 'enough' })
    expect(seen!.preview).toEqual({ ...second!.preview })
    const { bytes } = await client.readAsset({ token: seen!.preview!.token })
    expect(Buffer.concat(await Array.fromAsync(bytes)).toString()).toBe('second')
    await expect(client.readAsset({ token: first!.preview.token })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('a late watcher gets none once they were taken away, nor those of an attempt before', async () => {
    await using fresh = createMemoryEvents()
    const client = await world.serve({ events: fresh })
    const run = await begun()
    const draws = (one: typeof run) => world.runStore.enterStages(one, [{ stage: 'DENOISE', at: world.now() }])
    const seen = async () => (await watch(run.id, { client, onEach: () => 'enough' }))[0]!.preview
    await draws(run)
    await world.runStore.keepPreviews(run, { preview: newAsset('allowed') })
    expect(await seen()).not.toBeNull()
    await world.runStore.dropPreviews(run)
    expect(await seen()).toBeNull()
    const kept = await world.runStore.keepPreviews(run, { preview: newAsset('allowed again') })
    await draws((await world.runStore.begin(run.id))!)
    expect(await seen()).toBeNull()
    await expect(client.readAsset({ token: kept!.preview.token })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('its subject deleted, it is told to be canceled', async () => {
    const run = await begun()
    const seen = await watch(run.id, {
      onEach: ({ length }) => length === 1 && world.client.deleteSubject({ tenant, id: run.subject.id }),
    })
    expect(seen.map(short)).toEqual(['RUNNING UNSPECIFIED 0', 'CANCELED UNSPECIFIED 0'])
    await expect(watch(run.id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test("another tenant's generation and a cursor that is none are refused", async () => {
    const id = await created()
    const open = (request: object) => Array.fromAsync(world.client.watchGeneration({ tenant, id, ...request }))
    await expect(open({ tenant: 'other' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(open({ after: 'yesterday' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(parseCursor('yesterday')).toBeNull()
  })
})
