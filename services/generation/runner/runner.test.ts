import { setTimeout as sleep } from 'node:timers/promises'
import { openPictureSigner } from '../../lib/images/content-credentials.ts'
import { readMetadata } from '../../lib/images/encode.ts'
import { testCertificate } from '../../lib/images/test-certificates.ts'
import { MeshError } from '../../lib/mesh/errors.ts'
import type { Events } from '../../lib/mesh/events/events.ts'
import { createMemoryEvents } from '../../lib/mesh/events/memory-events.ts'
import { defaultJobsOptions, type Jobs } from '../../lib/mesh/jobs/jobs.ts'
import { createMemoryJobs } from '../../lib/mesh/jobs/memory-jobs.ts'
import { createJudge } from '../../safety/judge.ts'
import { readPolicy } from '../../safety/policy/policy.ts'
import type { Safety, Verdict } from '../../safety/safety.ts'
import { decodeProgress, publishProgress } from '../progress.ts'
import { type CompleteRequest, completeRequest } from '../request.ts'
import type { Entered, Stage } from './run-store.ts'
import { createRunner, type RunnerOptions, type RunnerSettings } from './runner.ts'
import { createTestRunStore, type TestRunStore } from './test-run-store.ts'
import { allowed, createTestDrawing, createTestServices, lenient, rejected, testSubject } from './test-services.ts'

const subject = testSubject()
const settings = { strength: { recontextualize: 1, retexture: 0.5 }, guidance: 7.5, steps: 10 }
const request: CompleteRequest = completeRequest(
  { prompt: 'a dog on a beach', seed: 3, count: 2 },
  settings as Parameters<typeof completeRequest>[1],
)
const quick: Partial<RunnerSettings> = {
  checkpointEverySteps: 3,
  previewEverySteps: 2,
  retryMs: { first: 1, largest: 2 },
  reviewTimeoutMs: 200,
  sweepEveryMs: 20,
}

let jobs: Jobs
let events: Events
let store: TestRunStore
const cleanups: (() => unknown)[] = []

beforeEach(() => {
  jobs = createMemoryJobs(defaultJobsOptions)
  events = createMemoryEvents()
  store = createTestRunStore(subject)
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await jobs[Symbol.asyncDispose]()
  await events[Symbol.asyncDispose]()
})

function start(drawing = createTestDrawing(), safety: Safety = lenient, more: Partial<RunnerOptions> = {}) {
  const runner = createRunner({
    jobs,
    events,
    store,
    services: { ...createTestServices(drawing), safety },
    bundle: { name: 'toy', settings: { ipAdapterScale: 0.6, sizePx: 64 } },
    ...more,
    settings: { ...quick, ...more.settings },
  })
  cleanups.push(() => runner.dispose())
  return { runner, drawing }
}

async function run(id = 'g-1', change: Partial<CompleteRequest> = {}) {
  store.add(id, { ...request, ...change })
  await jobs.add(id)
  return store.ended(id)
}

const bytesOf = (row: { images: readonly { image: { bytes: Uint8Array }; mask: { bytes: Uint8Array } }[] }) =>
  row.images.map(({ image, mask }) => Buffer.concat([image.bytes, mask.bytes]).toString('base64'))

/** All snapshots from the beginning to where `isLast` says so. */
async function watch(id: string, isLast: (progress: Shown) => boolean): Promise<Shown[]> {
  const seen: Shown[] = []
  for await (const { cursor, data } of events.subscribe(id, null, AbortSignal.timeout(4000))) {
    const { progress } = decodeProgress(data, cursor)!
    seen.push(progress)
    if (isLast(progress)) break
  }
  return seen
}
type Shown = NonNullable<ReturnType<typeof decodeProgress>>['progress']

/** What an uninterrupted run draws. */
async function wholePictures(): Promise<string[]> {
  start()
  const row = await run('whole')
  for (const cleanup of cleanups.splice(0)) await cleanup()
  return bytesOf(row)
}

test('what the text encoder does not read of a prompt is kept', async () => {
  const drawing = createTestDrawing()
  const { draw } = drawing
  drawing.draw = async function* (...args) {
    yield { kind: 'truncated', text: 'and a red balloon' }
    yield* draw(...args)
  }
  start(drawing)
  const row = await run()
  expect(row).toMatchObject({ status: 'SUCCEEDED', unreadPrompt: 'and a red balloon' })
  expect(row.stages).toEqual(['REVIEW_INPUT', 'VISION', 'CONTEXT', 'DENOISE', 'REVIEW_OUTPUT', 'STORE'])
})

test('a prompt that is longer than the picture has room for is drawn all the same, and kept whole', async () => {
  start()
  const prompt = '"'.repeat(10_000)
  const { status, images } = await run('g-1', { prompt, count: 1 })
  expect(status).toBe('SUCCEEDED')
  expect((await readMetadata(images[0]!.image.bytes)).provenance).toMatchObject({ settings: { prompt } })
})

test('finished pictures are signed where somebody signs, and none is stored that is not', async () => {
  const { certificates, privateKey } = await testCertificate()
  const signer = await openPictureSigner(certificates, privateKey)
  const { runner } = start(createTestDrawing(), lenient, { signer })
  const row = await run()
  expect(row.images.map(({ image }) => Buffer.from(image.bytes).includes('c2pa.created'))).toEqual([true, true])
  await runner.dispose()
  const broken = { ...signer, sign: () => Promise.reject(new Error('the key is away')) }
  start(createTestDrawing(), lenient, { signer: broken })
  expect(await run('g-2')).toMatchObject({ status: 'FAILED', images: [] })
})

test('from a job to pictures with provenance, stage by stage, each step told to who watches', async () => {
  const watching = watch('g-1', ({ step }) => step === 10)
  const { drawing } = start()
  drawing.beforeStep = async (step) => {
    // Nothing waits for previews; this once the last step does.
    while (step === 10 && store.row('g-1').previews.length < 2) await sleep(1)
  }
  const row = await run()
  expect(row).toMatchObject({ status: 'SUCCEEDED', attempt: 1, step: 10 })
  expect(row.stages).toEqual(['REVIEW_INPUT', 'VISION', 'CONTEXT', 'DENOISE', 'REVIEW_OUTPUT', 'STORE'])
  expect(row.images.map(({ index, seed, verdict }) => [index, seed, verdict.decision])).toEqual([
    [0, 3, 'ALLOWED'],
    [1, 4, 'ALLOWED'],
  ])
  const { provenance } = await readMetadata(row.images[1]!.image.bytes)
  expect(provenance).toMatchObject({
    seed: 4n,
    settings: { bundle: 'toy', label: 'dog', prompt: 'a dog on a beach', steps: 10 },
  })
  const seen = await watching
  expect(seen.map(({ step }) => step).filter((step, index, all) => step !== all[index - 1])).toEqual(
    Array.from({ length: 11 }, (_, step) => step),
  )
  const fractions = seen.map(({ fraction }) => fraction)
  expect(fractions).toEqual(fractions.toSorted((a, b) => a - b))
  expect(seen.at(-1)).toMatchObject({
    preview: { contentType: 'image/png', widthPx: 8 },
    mask: { contentType: 'image/png' },
  })
})

describe('whatever happens in between, the bytes are the same', () => {
  test('backends that are gone now and then', async () => {
    const whole = await wholePictures()
    const { drawing } = start()
    const failAt = new Set([2, 5, 8])
    drawing.beforeStep = async (step) => {
      if (failAt.delete(step)) throw new MeshError('UNAVAILABLE', "denoise can't be reached")
    }
    const row = await run()
    expect(row).toMatchObject({ status: 'SUCCEEDED', attempt: 4 })
    expect(drawing.calls.map(({ from }) => from)).toEqual([0, 0, 3, 6])
    expect(bytesOf(row)).toEqual(whole)
  })

  test('a runner that ends in the middle; another goes on from the checkpoint', async () => {
    const whole = await wholePictures()
    const first = start(createTestDrawing(), lenient, { settings: { drainMs: 0 } })
    const reached = Promise.withResolvers<void>()
    first.drawing.beforeStep = async (step, signal) => {
      if (step !== 8) return
      reached.resolve()
      await sleep(60_000, undefined, { signal })
    }
    store.add('g-1', request)
    await jobs.add('g-1')
    await reached.promise
    await first.runner.dispose()
    expect(store.row('g-1').status).toBe('RUNNING')
    const { drawing } = start()
    const row = await store.ended('g-1')
    expect(drawing.calls.map(({ from }) => from)).toEqual([6])
    expect({ status: row.status, bytes: bytesOf(row) }).toEqual({ status: 'SUCCEEDED', bytes: whole })
  })

  test('a runner that is restarted over and over before there is a checkpoint', async () => {
    const whole = await wholePictures()
    store.add('g-1', request)
    for (let restart = 1; restart <= 7; restart++) {
      const { runner, drawing } = start(createTestDrawing(), lenient, { settings: { drainMs: 0 } })
      const reached = Promise.withResolvers<void>()
      drawing.beforeStep = async (step, signal) => {
        if (step !== 2) return
        reached.resolve()
        await sleep(60_000, undefined, { signal })
      }
      await reached.promise
      await runner.dispose()
      expect(store.row('g-1')).toMatchObject({ status: 'RUNNING', attempt: restart, faults: 0 })
    }
    start()
    const row = await store.ended('g-1')
    expect({ status: row.status, attempt: row.attempt, bytes: bytesOf(row) }).toEqual({
      ...{ status: 'SUCCEEDED', attempt: 8, bytes: whole },
    })
  })

  test('more faults than attempts, with a checkpoint in between', async () => {
    const whole = await wholePictures()
    const { drawing } = start(createTestDrawing(), lenient, { settings: { checkpointEverySteps: 1 } })
    const failAt = new Set([2, 3, 4, 5, 6, 7, 8])
    drawing.beforeStep = async (step) => {
      if (failAt.delete(step)) throw new MeshError('UNAVAILABLE', "denoise can't be reached")
    }
    const row = await run()
    expect(row).toMatchObject({ status: 'SUCCEEDED', attempt: 8 })
    expect(bytesOf(row)).toEqual(whole)
  })

  test('a database that is away for a while', async () => {
    const whole = await wholePictures()
    const { drawing } = start()
    let left = 1
    drawing.beforeStep = async (step) => {
      if (step !== 5 || left-- === 0) return
      store.away = true
      setTimeout(() => {
        store.away = false
      }, 50)
    }
    const row = await run()
    expect({ status: row.status, bytes: bytesOf(row) }).toEqual({ status: 'SUCCEEDED', bytes: whole })
    expect(row.attempt).toBeGreaterThan(1)
  })

  test('a checkpoint that can not be read is none', async () => {
    const whole = await wholePictures()
    store.add('g-1', request).checkpoint = { step: 3, bytes: Buffer.from('nonsense') }
    const { drawing } = start()
    const row = await store.ended('g-1')
    expect(drawing.calls.map(({ from }) => from)).toEqual([0])
    expect(bytesOf(row)).toEqual(whole)
  })
})

describe('faults', () => {
  test('a permanent one ends it at once, in one sentence with its stage', async () => {
    const { drawing } = start()
    drawing.beforeStep = async () => {
      throw new MeshError('INVALID_ARGUMENT', 'steps is 10, allowed is 9')
    }
    expect(await run()).toMatchObject({
      status: 'FAILED',
      attempt: 1,
      reason: { message: 'steps is 10, allowed is 9', stage: 'DENOISE', retryable: false },
    })
  })

  test('a subject that was made for another bundle is one: nothing is drawn of it', async () => {
    const bundle = { name: 'larger', settings: { ipAdapterScale: 0.6, sizePx: 512 } }
    const { drawing } = start(createTestDrawing(), lenient, { bundle })
    const message = 'the subject was made for 64 px, this bundle works at 512; make the subject anew'
    expect(await run()).toMatchObject({ status: 'FAILED', attempt: 1, reason: { message, retryable: false } })
    expect(drawing.calls).toEqual([])
  })

  test('a passing one that does not pass ends it after the last attempt', async () => {
    const { drawing } = start()
    drawing.beforeStep = async () => {
      throw new MeshError('UNAVAILABLE', "denoise can't be reached")
    }
    expect(await run()).toMatchObject({
      status: 'FAILED',
      attempt: 5,
      reason: { message: "denoise can't be reached; it was tried several times", stage: 'DENOISE', retryable: true },
    })
  })

  test('one that comes after progress ends it only after as many attempts from there', async () => {
    const { drawing } = start()
    drawing.beforeStep = async (step) => {
      if (step > 4) throw new MeshError('UNAVAILABLE', "denoise can't be reached")
    }
    const row = await run()
    expect(row).toMatchObject({
      status: 'FAILED',
      attempt: 5,
      faults: 5,
      reason: { stage: 'DENOISE', retryable: true },
    })
    expect(drawing.calls.map(({ from }) => from)).toEqual([0, 3, 3, 3, 3])
  })

  test('events that can not be published stop nothing', async () => {
    const broken: Events = {
      publish: async () => {
        throw new MeshError('UNAVAILABLE', 'no events')
      },
      subscribe: () => {
        throw new MeshError('UNAVAILABLE', 'no events')
      },
      [Symbol.asyncDispose]: async () => undefined,
    }
    start(createTestDrawing(), lenient, { events: broken })
    expect(await run()).toMatchObject({ status: 'SUCCEEDED' })
  })

  test('a row whose job was lost is found by the sweep', async () => {
    start()
    store.add('lost', request)
    expect(await store.ended('lost')).toMatchObject({ status: 'SUCCEEDED' })
  })
})

describe('a stage is worked at beside the write that enters it', () => {
  /** The write of one stage takes its time and comes out like this. */
  function slowAt(slow: Stage, outcome: () => Promise<boolean>) {
    const { enterStages, keepStep, succeed } = store
    const slowed = async (entered: readonly Entered[], write: () => Promise<boolean>) => {
      if (!entered.some(({ stage }) => stage === slow)) return write()
      await sleep(20)
      return (await outcome()) && write()
    }
    store.enterStages = (of, entered) => slowed(entered, () => enterStages(of, entered))
    store.keepStep = (of, step, bytes, entered = []) => slowed(entered, () => keepStep(of, step, bytes, entered))
    store.succeed = (of, images, entered = [], places) => slowed(entered, () => succeed(of, images, entered, places))
  }

  test('nothing is kept before it is written', async () => {
    start()
    slowAt('DENOISE', async () => {
      expect(store.row('g-1')).toMatchObject({ step: 0, previews: [], images: [] })
      return true
    })
    const row = await run()
    expect(row).toMatchObject({ status: 'SUCCEEDED', step: 10 })
    expect(row.stages).toEqual(['REVIEW_INPUT', 'VISION', 'CONTEXT', 'DENOISE', 'REVIEW_OUTPUT', 'STORE'])
  })

  test.each(['VISION', 'DENOISE', 'STORE'] as const)('fenced off at %s, it keeps nothing more', async (stage) => {
    const { runner } = start()
    slowAt(stage, async () => false)
    store.add('g-1', request)
    await jobs.add('g-1')
    while (store.row('g-1').attempt === 0 || runner.running.length > 0) await sleep(5)
    // The row says nothing of a newer attempt here, so the store takes it for one that was asked to stop.
    expect(store.row('g-1')).toMatchObject({ status: 'CANCELED', attempt: 1, images: [] })
    if (stage !== 'STORE') expect(store.row('g-1')).toMatchObject({ step: 0, checkpoint: null, previews: [] })
  })

  test('one that can not be written is tried again, with the same pictures', async () => {
    const whole = await wholePictures()
    start()
    let faults = 2
    slowAt('CONTEXT', async () => {
      if (faults-- > 0) throw new MeshError('UNAVAILABLE', "the database can't be reached")
      return true
    })
    const row = await run()
    expect(row).toMatchObject({ status: 'SUCCEEDED', attempt: 3 })
    expect(bytesOf(row)).toEqual(whole)
  })
})

describe('cancellation', () => {
  /** Runs up to step 4, which waits for the signal. */
  async function untilStep4() {
    const { drawing, runner } = start()
    const reached = Promise.withResolvers<void>()
    drawing.beforeStep = async (step, signal) => {
      if (step !== 4) return
      reached.resolve()
      await sleep(60_000, undefined, { signal })
    }
    const ended = run()
    await reached.promise
    return { drawing, runner, ended }
  }

  test('takes effect in the running step when it is heard', async () => {
    const { drawing, ended } = await untilStep4()
    store.row('g-1').status = 'CANCELING'
    const { steps } = request
    const snapshot = {
      id: 'g-1',
      attempt: 1,
      status: 'CANCELING',
      stage: 'DENOISE',
      step: 3,
      steps,
      imageIndex: 0,
    } as const
    const rest = { queuePosition: 0, etaMs: null, preview: null, mask: null, time: new Date() }
    await publishProgress(events, { ...snapshot, ...rest })
    expect(await ended).toMatchObject({ status: 'CANCELED', images: [] })
    expect(drawing.calls).toEqual([{ from: 0, steps: [1, 2, 3], ended: true }])
  })

  test('takes effect after the running step when it is not', async () => {
    const { drawing } = start()
    drawing.beforeStep = async (step) => {
      if (step === 4) store.row('g-1').status = 'CANCELING'
    }
    expect(await run()).toMatchObject({ status: 'CANCELED', images: [] })
    expect(drawing.calls[0]!.steps).toEqual([1, 2, 3, 4])
  })

  test('before it began, it never begins', async () => {
    store.add('g-1', request).status = 'CANCELING'
    const { drawing } = start()
    expect(await store.ended('g-1')).toMatchObject({ status: 'CANCELED' })
    expect(drawing.calls).toEqual([])
  })

  test('an attempt that a newer one has fenced off stops without a word', async () => {
    const { drawing, runner, ended } = await untilStep4()
    drawing.beforeStep = async () => undefined
    const other = await store.begin('g-1')
    expect(other!.attempt).toBe(2)
    await publishProgress(events, {
      ...{
        id: 'g-1',
        attempt: 1,
        status: 'CANCELING',
        stage: null,
        step: 0,
        steps: 1,
        imageIndex: 0,
        queuePosition: 0,
      },
      ...{ etaMs: null, preview: null, mask: null, time: new Date() },
    })
    while (runner.running.length > 0) await sleep(5)
    expect(store.row('g-1')).toMatchObject({ status: 'RUNNING', attempt: 2, images: [] })
    await store.end(other!, 'FAILED', null)
    await ended
  })
})

describe('without a verdict nothing is drawn or shown', () => {
  const dead = async () => {
    throw new MeshError('UNAVAILABLE', 'safety is not available: none of its 1 addresses serves')
  }
  const slow = () => new Promise<never>(() => undefined)
  const crashing = async () => {
    throw new Error('/srv/secret')
  }
  const faults = [
    ['stopped', dead, 'safety is not available: none of its 1 addresses serves'],
    ['slow', slow, 'the call took too long'],
    ['crashing', crashing, 'safety: something went wrong'],
  ] as const

  test.each(faults)('%s before anything is drawn', async (_, reviewPrompt, message) => {
    const { drawing } = start(createTestDrawing(), { ...lenient, reviewPrompt })
    expect(await run()).toMatchObject({
      status: 'FAILED',
      attempt: 1,
      images: [],
      previews: [],
      reason: {
        message: `the request could not be judged: ${message}; nothing is shown without a verdict`,
        stage: 'REVIEW_INPUT',
        retryable: true,
      },
    })
    expect(drawing.calls).toEqual([])
  })

  test.each(faults)('%s while it is drawn and after', async (_, reviewPicture, message) => {
    start(createTestDrawing(), { ...lenient, reviewPicture })
    expect(await run()).toMatchObject({
      status: 'FAILED',
      images: [],
      previews: [],
      reason: { message: expect.stringContaining(message), stage: 'REVIEW_OUTPUT', retryable: true },
    })
  })

  test('only for the second picture: neither is kept', async () => {
    let pictures = 0
    const reviewPicture: Safety['reviewPicture'] = async (asked) =>
      ++pictures > 1 ? crashing() : lenient.reviewPicture(asked)
    start(createTestDrawing(), { ...lenient, reviewPicture }, { settings: { previewEverySteps: 0 } })
    expect(await run()).toMatchObject({ status: 'FAILED', images: [] })
  })

  test('one that rejects the words ends it before anything is drawn', async () => {
    const { drawing } = start(createTestDrawing(), createJudge(readPolicy()))
    expect(await run('g-1', { prompt: 'a dog beside a woman' })).toMatchObject({
      status: 'REJECTED',
      reason: {
        message: 'the request was rejected: "woman" in the prompt names a person',
        stage: 'REVIEW_INPUT',
        retryable: false,
        verdict: { decision: 'REJECTED_PERSON', policyVersion: 'moma-4/words' },
      },
    })
    expect(drawing.calls).toEqual([])
  })

  test('one that rejects the words ends it whether or not its subject can be read', async () => {
    start(createTestDrawing(), createJudge(readPolicy()))
    store.readAsset = async () => Buffer.from('no picture')
    expect(await run('g-1', { prompt: 'a dog beside a woman' })).toMatchObject({ status: 'REJECTED' })
    expect(await run('g-2')).toMatchObject({ status: 'FAILED', attempt: 1, reason: { retryable: false } })
  })

  test('one that allows one preview and rejects the next: nothing of the first is left for anybody', async () => {
    let pictures = 0
    const reviewPicture = async () => (++pictures === 2 ? rejected('something bad') : allowed)
    let wasShown = false
    const watching = watch('g-1', ({ preview }) => {
      wasShown ||= preview !== null
      return wasShown && preview === null
    })
    const { drawing } = start(createTestDrawing(), { ...lenient, reviewPicture })
    const kept: number[] = []
    drawing.beforeStep = async (step) => {
      while (step === 3 && store.row('g-1').previews.length === 0) await sleep(1)
      while (step === 5 && pictures < 2) await sleep(1)
      while (step === 6 && store.row('g-1').previews.length > 0) await sleep(1)
      if (step === 3 || step === 6) kept.push(store.row('g-1').previews.length)
      // What is said between two steps is told where the next one is not too soon.
      if (step === 6) await sleep(100)
    }
    expect(await run('g-1', { steps: 7 })).toMatchObject({ status: 'SUCCEEDED' })
    expect(kept).toEqual([2, 0])
    expect((await watching).at(-1)).toMatchObject({ preview: null, mask: null })
  })

  test('one that rejects what it sees: no preview, no picture', async () => {
    start(createTestDrawing(), { ...lenient, reviewPicture: async () => rejected('something bad') })
    expect(await run()).toMatchObject({
      status: 'REJECTED',
      images: [],
      previews: [],
      reason: { message: 'a finished picture was rejected: something bad', stage: 'REVIEW_OUTPUT' },
    })
  })
})

describe('a subject and the policy', () => {
  /** Counts the subjects that are judged. */
  const judging = (verdict: () => Promise<Verdict>) => {
    const seen: unknown[] = []
    const reviewSubject: Safety['reviewSubject'] = async ({ reference, mask, label }) => {
      seen.push({ reference, mask, label })
      return verdict()
    }
    return { seen, safety: { ...lenient, reviewSubject } }
  }
  const old: Verdict = { decision: 'ALLOWED', findings: [], policyVersion: 'old' }

  test('that let it in: it is not judged again, and what allowed the words is kept with the generation', async () => {
    const { seen, safety } = judging(async () => rejected('somebody'))
    start(createTestDrawing(), safety)
    expect(await run()).toMatchObject({ status: 'SUCCEEDED', promptVerdict: { policyVersion: 'test' } })
    expect(seen).toEqual([])
  })

  test('another one: it is judged anew, once, before anything is drawn', async () => {
    store.admitted = old
    const { seen, safety } = judging(async () => allowed)
    const { drawing } = start(createTestDrawing(), safety)
    expect(await run()).toMatchObject({ status: 'SUCCEEDED' })
    const { reference, mask, label } = subject
    expect(seen).toEqual([{ reference, mask, label }])
    expect(store.admitted).toEqual(allowed)
    expect(await run('g-2')).toMatchObject({ status: 'SUCCEEDED' })
    expect(seen).toHaveLength(1)
    expect(drawing.calls).toHaveLength(2)
  })

  test('another one that refuses it: nothing is drawn, and the verdict is the reason', async () => {
    store.admitted = old
    const { drawing } = start(createTestDrawing(), judging(async () => rejected('somebody')).safety)
    expect(await run()).toMatchObject({
      status: 'REJECTED',
      promptVerdict: null,
      reason: { message: 'the subject was rejected: somebody', stage: 'REVIEW_INPUT', verdict: rejected('somebody') },
    })
    expect(drawing.calls).toEqual([])
    expect(store.admitted).toEqual(old)
  })

  test('another one, by which it can not be judged: nothing is drawn', async () => {
    store.admitted = old
    const { drawing } = start(createTestDrawing(), judging(() => Promise.reject(new Error('broke'))).safety)
    expect(await run()).toMatchObject({
      status: 'FAILED',
      reason: { message: expect.stringContaining('the subject could not be judged'), stage: 'REVIEW_INPUT' },
    })
    expect(drawing.calls).toEqual([])
  })
})
