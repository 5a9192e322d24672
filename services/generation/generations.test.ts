import type { Jobs } from '../lib/mesh/jobs/jobs.ts'
import { databaseKinds } from './db/test-database.ts'
import { defaultLimits } from './limits.ts'
import { sweepOnce } from './sweep.ts'
import { type ServedWorld, serveWorld } from './test-server.ts'
import { allowed, newAsset } from './test-world.ts'

describe.each(databaseKinds)('over %s', (kind) => {
  let world: ServedWorld
  beforeAll(async () => {
    world = await serveWorld(kind)
  }, 60_000)
  afterAll(() => world[Symbol.asyncDispose]())

  let tenant = ''
  let subjectId = ''
  let tenants = 0
  beforeEach(async () => {
    tenant = `tenant-${++tenants}`
    subjectId = (await world.addSubject(tenant)).id
  })

  const create = (settings: object = {}, more: object = {}, client = world.client) =>
    client.createGeneration({ tenant, subjectId, settings: { prompt: 'a dog on the moon', ...settings }, ...more })
  const created = async (settings: object = {}, more: object = {}) => {
    const { generation, problem } = await create(settings, more)
    if (!generation) throw new Error(problem?.message)
    return generation
  }
  const get = async (id: string) => (await world.client.getGenerations({ tenant, ids: [id] })).generations[0]!
  const takeJobs = async (): Promise<string[]> => {
    const ids: string[] = []
    for (;;) {
      const job = await world.jobs.next(AbortSignal.timeout(50))
      if (!job) return ids
      ids.push(job.id)
      await job.done()
    }
  }

  test('of a subject that is deleted at the same moment there is one or none, and no fault', async () => {
    const races = Array.from({ length: 20 }, async () => {
      const { id } = await world.addSubject(tenant)
      const [made] = await Promise.all([
        world.client.createGeneration({ tenant, subjectId: id, settings: { prompt: 'a dog on the moon' } }),
        world.client.deleteSubject({ tenant, id }),
      ])
      return made
    })
    for (const { generation, problem } of await Promise.all(races)) {
      if (!generation) expect(problem).toMatchObject({ kind: 'notFound' })
    }
  })

  test('what is left out the bundle decides, and the generation waits in the queue', async () => {
    await takeJobs()
    const generation = await created({ task: 'TASK_RETEXTURE' })
    expect(generation).toMatchObject({
      subjectId,
      status: 'GENERATION_STATUS_QUEUED',
      stage: 'STAGE_UNSPECIFIED',
      step: 0,
      fraction: 0,
      images: [],
      problem: null,
      startTime: null,
      completeTime: null,
      settings: {
        prompt: 'a dog on the moon',
        negativePrompt: '',
        task: 'TASK_RETEXTURE',
        method: 'METHOD_MOMA',
        sampler: 'SAMPLER_DDIM',
        strength: 0.5,
        guidance: 7.5,
        steps: 4,
        count: 1,
      },
    })
    expect(generation.settings!.seed).toBeGreaterThan(0)
    expect(generation.settings!.seed).toBeLessThanOrEqual(2 ** 53 - 66)
    expect(await takeJobs()).toEqual([generation.id])
    expect(await get(generation.id)).toEqual(generation)
  })

  test('what was asked for is kept exactly, the largest seed and single precision too', async () => {
    const settings = {
      negativePrompt: 'blurry',
      method: 'METHOD_IP_ADAPTER',
      sampler: 'SAMPLER_UNIPC',
      strength: 1.2,
      guidance: 2.3,
      steps: 998,
      seed: 2 ** 53 - 66,
      count: 8,
    }
    const { id } = await created(settings)
    const { settings: kept } = await get(id)
    expect(kept).toMatchObject({ ...settings, strength: expect.closeTo(1.2, 5), guidance: expect.closeTo(2.3, 5) })
    // A single that means 1.2 is a little more, and is taken for what was meant.
    expect((await world.runStore.begin(id))!.request).toMatchObject({ strength: 1.2, guidance: 2.3 })
  })

  test('two without a seed have different ones', async () => {
    const [one, two] = [await created(), await created()]
    expect(one.settings!.seed).not.toBe(two.settings!.seed)
  })

  test.each([
    [{ steps: 0 }, 'steps'],
    [{ steps: 1000 }, 'steps'],
    [{ steps: 999, sampler: 'SAMPLER_UNIPC' }, 'steps'],
    [{ count: 9 }, 'count'],
    [{ count: 0 }, 'count'],
    [{ strength: 1.3 }, 'strength'],
    [{ strength: Number.NaN }, 'strength'],
    [{ guidance: 0.5 }, 'guidance'],
    [{ seed: 2 ** 53 - 1 }, 'seed'],
    [{ prompt: 'x'.repeat(10_001) }, 'prompt'],
    [{ negativePrompt: 'x'.repeat(10_001) }, 'negativePrompt'],
    [{ prompt: 'a\0b' }, 'prompt'],
  ])('%j is refused by its field, with one sentence', async (settings, field) => {
    const { problem, generation } = await create(settings)
    expect(generation).toBeNull()
    expect(problem).toMatchObject({ kind: 'invalidInput', invalidInput: { field } })
    expect(problem!.message).toContain(field)
  })

  test('a method that the bundle has no networks for is refused', async () => {
    const { vitH: _, ...networks } = world.manifest.networks
    const client = await world.serve({ manifest: { ...world.manifest, networks } })
    const { problem } = await create({ method: 'METHOD_IP_ADAPTER' }, {}, client)
    expect(problem).toMatchObject({
      invalidInput: { field: 'method' },
      message: 'method is "ip-adapter", allowed is moma, no-mask, no-subject',
    })
    const { methods } = await client.getCapabilities({})
    expect(methods).toEqual(['METHOD_MOMA', 'METHOD_NO_MASK', 'METHOD_NO_SUBJECT'])
  })

  test('a subject of another working size is refused, unless it was accepted before', async () => {
    const known = await created({}, { idempotencyKey: 'before' })
    const { settings } = world.manifest
    const client = await world.serve({ manifest: { ...world.manifest, settings: { ...settings, sizePx: 512 } } })
    expect((await create({}, {}, client)).problem).toMatchObject({
      kind: 'invalidInput',
      invalidInput: { field: 'subjectId' },
      message: 'subjectId names a subject that was made for 128 px, this bundle works at 512; make the subject anew',
    })
    expect((await create({}, { idempotencyKey: 'before' }, client)).generation).toMatchObject({ id: known.id })
    const { id } = await world.addSubject(tenant, 512)
    expect((await create({}, { subjectId: id }, client)).problem).toBeNull()
  })

  test('of many that ask at once with one key, one generation is made', async () => {
    await takeJobs()
    const asks = Array.from({ length: 8 }, () => create({}, { idempotencyKey: 'key' }))
    const ids = new Set((await Promise.all(asks)).map(({ generation }) => generation?.id))
    expect(ids.size).toBe(1)
    expect(await takeJobs()).toEqual([...ids])
    expect((await world.client.listGenerations({ tenant, pageSize: 10 })).generations).toHaveLength(1)
    expect((await create({ steps: 3 }, { idempotencyKey: 'key' })).problem).toMatchObject({ kind: 'conflict' })
    // Another tenant's key is another key.
    const other = await world.addSubject('other')
    const theirs = await create({}, { tenant: 'other', subjectId: other.id, idempotencyKey: 'key' })
    expect(ids.has(theirs.generation!.id)).toBe(false)
  })

  test('no more wait than may, however many ask at once; what runs does not count', async () => {
    const client = await world.serve({ limits: { ...defaultLimits, maxQueued: 3 } })
    const answers = await Promise.all(Array.from({ length: 6 }, () => create({}, {}, client)))
    const made = answers.flatMap(({ generation }) => generation ?? [])
    expect(made).toHaveLength(3)
    expect(answers.find(({ problem }) => problem)!.problem).toMatchObject({
      kind: 'limitExceeded',
      limitExceeded: { limit: 'queued' },
      message: '3 generations wait, allowed are 3',
    })
    await world.runStore.begin(made[0]!.id)
    expect((await create({}, {}, client)).problem).toBeNull()
  })

  test('one that the queue did not take is accepted all the same, and put there by the sweep', async () => {
    await takeJobs()
    const add = async () => {
      throw new Error('no queue')
    }
    const broken: Jobs = { ...world.jobs, add }
    const { generation } = await create({}, {}, await world.serve({ jobs: broken }))
    expect(generation!.status).toBe('GENERATION_STATUS_QUEUED')
    expect(await takeJobs()).toEqual([])
    world.advance(120_000)
    await sweepOnce({ ...world, limits: defaultLimits })
    expect(await takeJobs()).toContain(generation!.id)
  })

  test('the position in the queue counts what waits before it', async () => {
    const before = (await created()).queuePosition
    const made = [await created(), await created()]
    const positions = async () => {
      const { generations } = await world.client.getGenerations({ tenant, ids: made.map(({ id }) => id) })
      return generations.map(({ queuePosition }) => queuePosition)
    }
    const [first, second] = await positions()
    expect([first! >= before + 1, second! >= before + 2]).toEqual([true, true])
    await world.runStore.begin(made[0]!.id)
    expect(await positions()).toEqual([0, second! - 1])
  })

  test('canceled while it waits it is over at once, while it runs it is asked to stop; the answer stays the same', async () => {
    const cancel = async (id: string) => (await world.client.cancelGeneration({ tenant, id })).generation!
    const [waiting, running] = [await created(), await created()]
    const run = await world.runStore.begin(running.id)
    const canceled = await cancel(waiting.id)
    expect(canceled).toMatchObject({ status: 'GENERATION_STATUS_CANCELED', queuePosition: 0, startTime: null })
    expect(canceled.completeTime).not.toBeNull()
    expect(await cancel(waiting.id)).toEqual(canceled)
    expect(await world.runStore.begin(waiting.id)).toBeNull()

    const canceling = await cancel(running.id)
    expect(canceling.status).toBe('GENERATION_STATUS_CANCELING')
    expect(await cancel(running.id)).toEqual(canceling)
    await world.runStore.end(run!, 'CANCELED', null)
    expect((await cancel(running.id)).status).toBe('GENERATION_STATUS_CANCELED')
    expect((await world.client.cancelGeneration({ tenant: 'other', id: running.id })).problem).toMatchObject({
      kind: 'notFound',
    })
  })

  test('one that has succeeded has its pictures and is given as it is when it is canceled', async () => {
    const { id } = await created({ count: 2, seed: 40 })
    const run = await world.runStore.begin(id)
    await world.runStore.enterStages(run!, [{ stage: 'DENOISE', at: world.now() }])
    await world.runStore.keepStep(run!, 2, null)
    const running = await get(id)
    expect(running).toMatchObject({ status: 'GENERATION_STATUS_RUNNING', stage: 'STAGE_DENOISE', step: 2 })
    expect(running.unreadPrompt ?? null).toBeNull()
    expect(await world.runStore.keepUnread(run!, 'and a red balloon')).toBe(true)
    expect((await get(id)).unreadPrompt).toBe('and a red balloon')
    expect((await get(id)).promptVerdict ?? null).toBeNull()
    expect(await world.runStore.keepVerdicts(run!, allowed, null)).toBe(true)
    expect((await get(id)).promptVerdict).toMatchObject({ decision: 'DECISION_ALLOWED', policyVersion: 'test' })
    expect((await get(id)).fraction).toBeCloseTo(0.1 + 0.86 / 2)
    const image = (index: number) => ({
      index,
      seed: 40 + index,
      image: newAsset(`image ${index}`),
      mask: newAsset(`mask ${index}`),
      verdict: allowed,
    })
    await world.runStore.succeed(run!, [image(1), image(0)])
    const done = await get(id)
    expect(done).toMatchObject({
      status: 'GENERATION_STATUS_SUCCEEDED',
      stage: 'STAGE_UNSPECIFIED',
      fraction: 1,
      images: [
        { index: 0, seed: 40 },
        { index: 1, seed: 41 },
      ],
      timings: [{ stage: 'STAGE_DENOISE' }],
    })
    const { bytes } = await world.client.readAsset({ token: done.images[1]!.mask!.token })
    expect(Buffer.concat(await Array.fromAsync(bytes)).toString()).toBe('mask 1')
    expect((await world.client.cancelGeneration({ tenant, id })).generation).toEqual(done)
  })

  test('why it ended is said as a problem', async () => {
    const end = async (status: 'FAILED' | 'REJECTED', reason: object) => {
      const { id } = await created()
      const whole = { message: 'why', stage: 'DENOISE', retryable: true, verdict: null, ...reason } as const
      await world.runStore.end((await world.runStore.begin(id))!, status, whole)
      return (await get(id)).problem
    }
    expect(await end('FAILED', {})).toMatchObject({
      kind: 'failed',
      message: 'why',
      failed: { stage: 'STAGE_DENOISE', retryable: true },
    })
    const verdict = { ...allowed, decision: 'REJECTED_CONTENT' as const }
    expect(await end('REJECTED', { verdict })).toMatchObject({
      kind: 'contentRejected',
      contentRejected: { verdict: { decision: 'DECISION_REJECTED_CONTENT' } },
    })
  })

  test('lists are of one tenant, by subject and status, in the order asked for by id', async () => {
    const other = await world.addSubject(tenant)
    const [one, two] = [await created(), await created({}, { subjectId: other.id })]
    await world.client.cancelGeneration({ tenant, id: one.id })
    const list = async (filter: object) =>
      (await world.client.listGenerations({ tenant, pageSize: 10, ...filter })).generations.map(({ id }) => id)
    expect(await list({ subjectId })).toEqual([one.id])
    expect(await list({ status: 'GENERATION_STATUS_QUEUED' })).toEqual([two.id])
    expect(await list({ tenant: 'nobody' })).toEqual([])
    const ids = [two.id, 'gen_unknown', one.id]
    const { generations } = await world.client.getGenerations({ tenant, ids })
    expect(generations.map(({ id }) => id)).toEqual([two.id, one.id])
    expect((await world.client.getGenerations({ tenant: 'nobody', ids })).generations).toEqual([])
    await expect(world.client.getGenerations({ tenant, ids: ['\0'] })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    const tooMany = Array.from({ length: 101 }, () => one.id)
    await expect(world.client.getGenerations({ tenant, ids: tooMany })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
  })

  test('after their retention ended generations go with their pictures, others stay', async () => {
    const [ended, waiting] = [await created(), await created()]
    const image = { index: 0, seed: 1, image: newAsset('i'), mask: newAsset('m'), verdict: allowed }
    await world.runStore.succeed((await world.runStore.begin(ended.id))!, [image])
    const { token } = (await get(ended.id)).images[0]!.image!
    world.advance(2 * 24 * 3600_000)
    await sweepOnce({ ...world, limits: { ...defaultLimits, retentionMs: 3 * 24 * 3600_000 } })
    expect(await get(ended.id)).toBeDefined()
    await sweepOnce({ ...world, limits: { ...defaultLimits, retentionMs: 24 * 3600_000 } })
    const { generations } = await world.client.getGenerations({ tenant, ids: [ended.id, waiting.id] })
    expect(generations.map(({ id }) => id)).toEqual([waiting.id])
    await expect(world.client.readAsset({ token })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('capabilities are those of the bundle, within the limits', async () => {
    expect(await world.client.getCapabilities({})).toMatchObject({
      bundle: 'moma-test',
      sizePx: 128,
      samplers: ['SAMPLER_DDIM', 'SAMPLER_DPM_SOLVER_PP_2M', 'SAMPLER_UNIPC'],
      methods: ['METHOD_MOMA', 'METHOD_IP_ADAPTER', 'METHOD_NO_MASK', 'METHOD_NO_SUBJECT', 'METHOD_NO_MLLM'],
      maxUploadBytes: 25 * 2 ** 20,
      maxQueued: 100,
      maxSteps: 999,
      defaults: { steps: 4, guidance: 7.5, strengthRecontextualize: 1, strengthRetexture: 0.5 },
      executionProvider: 'cpu',
      segmentation: true,
    })
  })

  test('a key opens its tenant until it is revoked, and is kept as a hash', async () => {
    const { secret, apiKey } = await world.client.createApiKey({ tenant, name: 'mine', scopes: ['SCOPE_READ'] })
    expect(secret.startsWith(apiKey!.prefix)).toBe(true)
    expect(secret.length).toBeGreaterThan(40)
    expect(await world.client.authenticate({ apiKey: secret })).toEqual({ tenant, scopes: ['SCOPE_READ'] })
    expect((await world.client.listApiKeys({ tenant })).apiKeys).toEqual([apiKey])
    const { apiKey: revoked } = await world.client.revokeApiKey({ id: apiKey!.id })
    expect(revoked!.revokeTime).not.toBeNull()
    world.advance(1000)
    expect((await world.client.revokeApiKey({ id: apiKey!.id })).apiKey).toEqual(revoked)
    for (const key of [secret, `${secret}x`, '']) {
      await expect(world.client.authenticate({ apiKey: key })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    }
    await expect(world.client.revokeApiKey({ id: 'key_none' })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(world.client.createApiKey({ tenant: 'No Tenant' })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    const { apiKey: whole } = await world.client.createApiKey({ tenant })
    expect(whole!.scopes).toEqual(['SCOPE_READ', 'SCOPE_WRITE'])
  })
})
