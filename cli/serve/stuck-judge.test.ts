import { opaquePhoto, until } from '../../services/generation/test-server.ts'
import type { Safety, Verdict } from '../../services/safety/safety.ts'
import { openTestGeneration, type TestGeneration } from './test-generation.ts'

// A safety service that is there and never answers, before what `moma serve generation` opens.

const tenant = 'tenant'
const allowed: Verdict = { decision: 'ALLOWED', findings: [], policyVersion: 'test' }

/** Two seconds, and what two busy cores may need besides. */
const soonMs = 10_000

/** Lets everything pass but in one of its gates, where it is stuck whatever it is told. */
let stuckIn: keyof Safety | null = null
const answer = (gate: keyof Safety) => async (): Promise<Verdict> =>
  stuckIn === gate ? new Promise<never>(() => undefined) : allowed
const safety: Safety = {
  reviewSubject: answer('reviewSubject'),
  reviewPrompt: answer('reviewPrompt'),
  reviewPicture: answer('reviewPicture'),
}

describe.each(['in this process', 'over the network'] as const)('%s', (reach) => {
  let mesh: TestGeneration
  beforeAll(async () => {
    mesh = await openTestGeneration(safety, reach)
  }, 60_000)
  afterAll(() => mesh[Symbol.asyncDispose]())
  beforeEach(() => {
    stuckIn = null
  })

  const create = async (label: string) => {
    const uploadId = await mesh.upload(tenant, await opaquePhoto())
    const began = performance.now()
    const made = await mesh.client.createSubject({ tenant, uploadId, label }, AbortSignal.timeout(2 * soonMs))
    return { ...made, elapsedMs: performance.now() - began }
  }

  test.each(['reviewPrompt', 'reviewSubject'] as const)(
    'stuck in %s, a photo has no verdict after two seconds',
    async (gate) => {
      stuckIn = gate
      const { subject, problem, elapsedMs } = await create('dog')
      expect(elapsedMs).toBeLessThan(soonMs)
      expect(subject).toBeNull()
      expect(problem).toMatchObject({
        kind: 'failed',
        failed: { stage: 'STAGE_REVIEW_INPUT', retryable: true },
        message: expect.stringContaining('could not be reviewed'),
      })
      expect((await mesh.client.listSubjects({ tenant, pageSize: 1 })).subjects).toEqual([])
    },
    30_000,
  )

  test('a generation has none either, and its runner takes the next one', async () => {
    const { subject } = await create('dog')
    stuckIn = 'reviewPrompt'
    const began = performance.now()
    const ids: string[] = []
    for (const prompt of ['a dog on a beach', 'a dog in the snow']) {
      const settings = { prompt }
      const { generation } = await mesh.client.createGeneration({ tenant, subjectId: subject!.id, settings })
      ids.push(generation!.id)
    }
    const found = async () => (await mesh.client.getGenerations({ tenant, ids })).generations
    await until(async () => (await found()).every(({ status }) => status === 'GENERATION_STATUS_FAILED'), 2 * soonMs)
    expect(performance.now() - began).toBeLessThan(2 * soonMs)
    for (const { problem, images } of await found()) {
      expect(images).toEqual([])
      expect(problem).toMatchObject({ kind: 'failed', failed: { stage: 'STAGE_REVIEW_INPUT', retryable: true } })
      expect(problem!.message).toBe(
        'the request could not be judged: safety took too long; nothing is shown without a verdict',
      )
    }
    expect(mesh.counts).toMatchObject({ patchFeatures: 0, contextEmbedding: 0, draw: 0 })
  }, 60_000)
})
