import { readdirSync } from 'node:fs'
import { eq } from 'drizzle-orm'
import { checkpoints, generations, images, previews, subjects } from '../db/schema.ts'
import { databaseKinds } from '../db/test-database.ts'
import { decodeProgress } from '../progress.ts'
import type { EndReason, NewImage, Run } from '../runner/run-store.ts'
import { allowed, newAsset, openWorld, type World } from '../test-world.ts'
import { cancel, findPreviews } from './generations.ts'
import { createRunStore } from './run-store.ts'

const newImages = (count: number): NewImage[] =>
  Array.from({ length: count }, (_, index) => ({
    index,
    seed: 5 + index,
    image: newAsset(`image ${index}`),
    mask: newAsset(`mask ${index}`),
    verdict: allowed,
  }))

const reason: EndReason = { message: 'the network was lost', stage: 'DENOISE', retryable: true, verdict: null }

describe.each(databaseKinds)('over %s', (kind) => {
  let world: World
  beforeAll(async () => {
    world = await openWorld(kind)
  }, 60_000)
  afterAll(() => world[Symbol.asyncDispose]())

  const begun = async (): Promise<Run> => {
    const { id } = await world.addGeneration(await world.addSubject('t'))
    const run = await world.runStore.begin(id)
    if (!run) throw new Error('it was not begun')
    return run
  }
  const read = async (id: string) => {
    const [row] = await world.db.run((queries) => queries.select().from(generations).where(eq(generations.id, id)))
    return row!
  }
  const askToCancel = (run: Run) => world.db.run((queries) => cancel(queries, run.tenant, run.id, world.now()))
  const files = () =>
    readdirSync(world.folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())

  test('a run has everything that it takes to draw, and goes on from its checkpoint', async () => {
    const run = await begun()
    expect(run).toMatchObject({ attempt: 1, checkpoint: null, subject: { label: 'dog', contentHash: 'hash' } })
    expect(run.request).toMatchObject({ prompt: 'a dog on the moon', seed: 5, steps: 20, strength: 1 })
    expect(Buffer.from(await world.runStore.readAsset(run.subject.image)).toString()).toBe('photo')

    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index)
    expect(await world.runStore.keepStep(run, 4, bytes.subarray(0, 3))).toBe(true)
    expect(await world.runStore.keepStep(run, 8, bytes)).toBe(true)
    expect(await world.runStore.keepStep(run, 9, null)).toBe(true)
    const next = await world.runStore.begin(run.id)
    expect(next?.attempt).toBe(2)
    expect(next?.checkpoint?.step).toBe(8)
    expect(Uint8Array.from(next!.checkpoint!.bytes)).toEqual(bytes)
  })

  test('what allowed the words is kept with the generation, and a subject that was judged anew has that verdict', async () => {
    const run = await begun()
    const { id } = run.subject
    const verdictOf = async () => {
      const [row] = await world.db.run((queries) => queries.select().from(subjects).where(eq(subjects.id, id)))
      return row!.verdict
    }
    const by = (policyVersion: string) => ({ ...allowed, policyVersion })
    expect(run.subject.policyVersion).toBe('test')
    expect(await world.runStore.keepVerdicts(run, by('new'), null, [{ stage: 'VISION', at: world.now() }])).toBe(true)
    expect(await read(run.id)).toMatchObject({ promptVerdict: by('new'), stage: 'VISION' })
    expect(await verdictOf()).toEqual(allowed)

    expect(await world.runStore.keepVerdicts(run, by('newer'), by('newer'))).toBe(true)
    expect(await read(run.id)).toMatchObject({ promptVerdict: by('newer') })
    expect(await verdictOf()).toEqual(by('newer'))

    const next = await world.runStore.begin(run.id)
    expect(next?.subject.policyVersion).toBe('newer')
    expect(await world.runStore.keepVerdicts(run, by('late'), by('late'))).toBe(false)
    expect([(await read(run.id)).promptVerdict, await verdictOf()]).toEqual([by('newer'), by('newer')])
  })

  test('a checkpoint of another bundle, or of one that is not written down, is none', async () => {
    const run = await begun()
    const other = createRunStore({ ...world, maxAttempts: 9, bundle: 'moma-other' })
    const own = createRunStore({ ...world, maxAttempts: 9, bundle: 'moma-test' })
    expect(await own.keepStep(run, 4, Buffer.from('own'))).toBe(true)
    const next = await other.begin(run.id)
    expect(next).toMatchObject({ attempt: 2, checkpoint: null })
    expect((await own.begin(run.id))?.checkpoint).toMatchObject({ step: 4 })

    const last = await other.begin(run.id)
    expect(await other.keepStep(last!, 2, Buffer.from('other'))).toBe(true)
    expect((await own.begin(run.id))?.checkpoint).toBeNull()
    const { step, bytes } = (await other.begin(run.id))!.checkpoint!
    expect({ step, bytes: Buffer.from(bytes).toString() }).toEqual({ step: 2, bytes: 'other' })

    await world.db.run((queries) => queries.update(checkpoints).set({ bundle: null }))
    expect((await other.begin(run.id))?.checkpoint).toBeNull()
  })

  test('of many that begin at once each has an attempt of its own, and only the latest one can write', async () => {
    const { id } = await world.addGeneration(await world.addSubject('t'))
    const runs = (await Promise.all([1, 2, 3].map(() => world.runStore.begin(id)))).filter((run) => run !== null)
    expect(runs.map(({ attempt }) => attempt).sort()).toEqual([1, 2, 3])
    const kept = await Promise.all(runs.map((run) => world.runStore.keepStep(run, 1, Buffer.from(`${run.attempt}`))))
    expect(kept.map((isKept, index) => [runs[index]!.attempt, isKept]).sort()).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ])
    const [checkpoint] = await world.db.run((queries) =>
      queries.select().from(checkpoints).where(eq(checkpoints.generationId, id)),
    )
    expect(Buffer.from(checkpoint!.bytes).toString()).toBe('3')
  })

  test('a fenced attempt can write nothing, and leaves no files', async () => {
    const old = await begun()
    await world.runStore.keepStep(old, 5, Buffer.from('old'))
    const before = files().length
    const current = await world.runStore.begin(old.id)
    expect(current?.checkpoint).toMatchObject({ step: 5 })
    expect(await world.runStore.enterStages(old, [{ stage: 'DENOISE', at: world.now() }])).toBe(false)
    expect(await world.runStore.keepStep(old, 10, Buffer.from('older'))).toBe(false)
    expect(await world.runStore.keepPreviews(old, { preview: newAsset('old') })).toBeNull()
    expect(await world.runStore.succeed(old, newImages(1))).toBe(false)
    expect(await world.runStore.end(old, 'FAILED', reason)).toBe(false)
    expect(await world.runStore.isStopped(old)).toBe(true)
    expect(await world.runStore.isStopped(current!)).toBe(false)
    expect(files()).toHaveLength(before)
    expect(await read(old.id)).toMatchObject({ status: 'RUNNING', attempt: 2, stage: null, step: 0 })
    const [checkpoint] = await world.db.run((queries) =>
      queries.select().from(checkpoints).where(eq(checkpoints.generationId, old.id)),
    )
    expect(checkpoint).toMatchObject({ step: 5 })
  })

  test('previews are dropped when that is asked for, and none outlives its attempt', async () => {
    const run = await begun()
    const shown = () => world.db.run((queries) => findPreviews(queries, run.id))
    const kept = await world.runStore.keepPreviews(run, { preview: newAsset('one'), mask: newAsset('mask') })
    expect(await world.runStore.dropPreviews(run)).toBe(true)
    expect(await shown()).toEqual({ preview: null, mask: null })
    for (const { token } of Object.values(kept!)) expect(await world.assets.find(token)).toBeNull()
    const again = await world.runStore.keepPreviews(run, { preview: newAsset('two') })
    await world.assets.settled()
    const before = files().length

    const next = await world.runStore.begin(run.id)
    expect(await shown()).toEqual({ preview: null, mask: null })
    expect(await world.assets.find(again!.preview.token)).toBeNull()
    await world.assets.settled()
    expect(files()).toHaveLength(before - 1)
    await world.runStore.keepPreviews(next!, { preview: newAsset('three') })
    expect(await world.runStore.dropPreviews(run)).toBe(false)
    expect((await shown()).preview).toMatchObject({ byteLength: 5 })
  })

  test('success keeps pictures and takes previews and checkpoint away, in one go', async () => {
    const run = await begun()
    await world.runStore.enterStages(run, [{ stage: 'DENOISE', at: world.now() }])
    await world.runStore.keepStep(run, 3, Buffer.from('latents'))
    const first = await world.runStore.keepPreviews(run, { preview: newAsset('one') })
    const second = await world.runStore.keepPreviews(run, { preview: newAsset('two'), mask: newAsset('mask') })
    expect(await world.assets.find(first!.preview.token)).toBeNull()
    expect(await world.assets.find(second!.preview.token)).toMatchObject({ byteLength: 3 })
    await world.assets.settled()
    const before = files().length
    expect(await world.runStore.succeed(run, newImages(2))).toBe(true)
    await world.assets.settled()

    expect(await read(run.id)).toMatchObject({ status: 'SUCCEEDED', stage: 'DENOISE', step: 3 })
    expect(await world.assets.find(second!.preview.token)).toBeNull()
    expect(files()).toHaveLength(before - 2 + 4)
    const left = await world.db.run(async (queries) => ({
      checkpoints: await queries.$count(checkpoints, eq(checkpoints.generationId, run.id)),
      previews: await queries.$count(previews, eq(previews.generationId, run.id)),
      images: await queries.$count(images, eq(images.generationId, run.id)),
    }))
    expect(left).toEqual({ checkpoints: 0, previews: 0, images: 2 })
    expect(await world.runStore.succeed(run, newImages(1))).toBe(false)
    expect(await world.runStore.begin(run.id)).toBeNull()
  })

  test('of success, failure and cancellation at once exactly one comes true', async () => {
    for (let round = 0; round < 10; round++) {
      const run = await begun()
      const [succeeded, failed, canceling] = await Promise.all([
        world.runStore.succeed(run, newImages(1)),
        world.runStore.end(run, 'FAILED', reason),
        askToCancel(run),
      ])
      const { status } = await read(run.id)
      if (succeeded) expect({ failed, status }).toEqual({ failed: false, status: 'SUCCEEDED' })
      else if (canceling?.status === 'CANCELING') expect(['CANCELING', 'CANCELED']).toContain(status)
      else expect({ failed, status }).toEqual({ failed: true, status: 'FAILED' })
    }
  })

  test('asked to stop, it takes no more writes and ends as CANCELED whatever its runner says', async () => {
    const run = await begun()
    expect(await askToCancel(run)).toMatchObject({ status: 'CANCELING' })
    expect(await askToCancel(run)).toBeNull()
    expect(await world.runStore.isStopped(run)).toBe(true)
    expect(await world.runStore.keepStep(run, 1, null)).toBe(false)
    expect(await world.runStore.succeed(run, newImages(1))).toBe(false)
    expect(await world.runStore.end(run, 'FAILED', reason)).toBe(true)
    expect(await read(run.id)).toMatchObject({ status: 'CANCELED', problem: null })
  })

  test('one whose runner died while it was asked to stop is canceled when it is begun again, and who watches is told', async () => {
    const run = await begun()
    await askToCancel(run)
    expect(await world.runStore.begin(run.id)).toBeNull()
    expect(await read(run.id)).toMatchObject({ status: 'CANCELED', attempt: 1 })
    for await (const { data, cursor } of world.events.subscribe(run.id, null, new AbortController().signal)) {
      expect(decodeProgress(data, cursor)?.progress.status).toBe('GENERATION_STATUS_CANCELED')
      break
    }
  })

  test('after too many attempts it is given up', async () => {
    const run = await begun()
    await world.runStore.begin(run.id)
    await world.runStore.begin(run.id)
    expect(await world.runStore.begin(run.id)).toBeNull()
    const { status, problem } = await read(run.id)
    expect({ status, problem }).toMatchObject({ status: 'FAILED', problem: { retryable: true } })
    expect(problem?.message).toContain('3 times')
  })

  test('an attempt that its own runner handed back counts for nothing but its number', async () => {
    let run: Run | null = await begun()
    for (let attempt = 1; attempt <= 6; attempt++) {
      expect(run).toMatchObject({ attempt, faults: 1 })
      expect(await world.runStore.handBack(run!)).toBe(true)
      run = await world.runStore.begin(run!.id)
    }
    // One that a newer attempt has fenced off, or that was asked to stop, has nothing to hand back.
    const next = await world.runStore.begin(run!.id)
    expect(next).toMatchObject({ attempt: 8, faults: 2 })
    expect(await world.runStore.handBack(run!)).toBe(false)
    await askToCancel(next!)
    expect(await world.runStore.handBack(next!)).toBe(false)
    expect(await read(next!.id)).toMatchObject({ status: 'CANCELING', faults: 2 })
  })

  test('as long as it gets further it is not given up; then it is', async () => {
    let run: Run | null = await begun()
    const { id } = run
    for (let step = 1; step <= 6; step++) {
      await world.runStore.begin(id)
      run = await world.runStore.begin(id)
      expect(run).toMatchObject({ faults: 3 })
      expect(await world.runStore.keepStep(run!, step, Buffer.from('further'))).toBe(true)
      expect(await world.runStore.countFaults(run!)).toBe(1)
    }
    await world.runStore.begin(id)
    run = await world.runStore.begin(id)
    expect(await world.runStore.keepStep(run!, 9, null)).toBe(true)
    expect(await world.runStore.begin(id)).toBeNull()
    expect(await read(id)).toMatchObject({ status: 'FAILED', attempt: 15, faults: 3 })
  })

  test('a checkpoint that was kept before is no progress, even where it can not be read again', async () => {
    let run: Run | null = await begun()
    const { id } = run
    for (let attempt = 1; attempt <= 3; attempt++) {
      for (const step of [4, 8]) expect(await world.runStore.keepStep(run!, step, Buffer.from('nonsense'))).toBe(true)
      run = await world.runStore.begin(id)
    }
    expect(run).toBeNull()
    expect(await read(id)).toMatchObject({ status: 'FAILED', attempt: 3 })
  })

  test('time is counted by stage, over all attempts', async () => {
    const run = await begun()
    await world.runStore.enterStages(run, [{ stage: 'VISION', at: world.now() }])
    world.advance(10_000)
    await world.runStore.enterStages(run, [{ stage: 'DENOISE', at: world.now() }])
    world.advance(20_000)
    await world.runStore.keepStep(run, 1, null)
    // Nobody works on it for an hour.
    world.advance(3600_000)
    const next = await world.runStore.begin(run.id)
    await world.runStore.enterStages(next!, [{ stage: 'DENOISE', at: world.now() }])
    world.advance(5000)
    await world.runStore.end(next!, 'FAILED', reason)
    const { timings, problem } = await read(run.id)
    expect(problem).toEqual(reason)
    expect(Object.keys(timings).sort()).toEqual(['DENOISE', 'VISION'])
    expect(Math.round(timings.VISION! / 1000)).toBe(10)
    expect(Math.round(timings.DENOISE! / 1000)).toBe(25)
  })

  test('stages that are written together are counted each', async () => {
    const run = await begun()
    const start = world.now().getTime()
    const from = (ms: number) => new Date(start + ms)
    await world.runStore.enterStages(run, [{ stage: 'REVIEW_INPUT', at: from(0) }])
    const rest = [
      { stage: 'VISION', at: from(100) },
      { stage: 'CONTEXT', at: from(300) },
      { stage: 'DENOISE', at: from(600) },
    ] as const
    world.advance(1000)
    expect(await world.runStore.keepStep(run, 1, Buffer.from('latents'), rest)).toBe(true)
    const { timings, stage, step } = await read(run.id)
    expect({ stage, step }).toEqual({ stage: 'DENOISE', step: 1 })
    const near = (ms: number) => ({ from: ms - 50, to: ms + 50 })
    for (const [name, { from: least, to: most }] of Object.entries({
      REVIEW_INPUT: near(100),
      VISION: near(200),
      CONTEXT: near(300),
      DENOISE: near(400),
    })) {
      const ms = timings[name as keyof typeof timings]
      expect(ms).toBeGreaterThanOrEqual(least)
      expect(ms).toBeLessThanOrEqual(most)
    }
    await world.runStore.succeed(run, newImages(1), [{ stage: 'STORE', at: world.now() }])
    expect(await read(run.id)).toMatchObject({ status: 'SUCCEEDED', stage: 'STORE', timings: { VISION: 200 } })
  })

  test('what is unfinished comes back, the oldest first', async () => {
    const subject = await world.addSubject('order')
    const at = (seconds: number) => new Date(Date.UTC(2000, 0, 1, 0, 0, seconds))
    const rows = []
    for (const seconds of [3, 1, 2]) rows.push(await world.addGeneration(subject, { createdAt: at(seconds) }))
    await world.addGeneration(subject, { createdAt: at(0), status: 'SUCCEEDED' })
    const ids = (await Array.fromAsync(world.runStore.unfinished())).slice(0, 3)
    expect(ids).toEqual([rows[1]!.id, rows[2]!.id, rows[0]!.id])
  })
})
