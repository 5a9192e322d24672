import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Registry } from 'prom-client'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import type { Address } from '../lib/mesh/address.ts'
import { createMeshServer, type MeshServer } from '../lib/mesh/grpc-server.ts'
import { alwaysReady } from '../lib/mesh/readiness.ts'
import { createSlots } from '../lib/mesh/slots.ts'
import { modelFileRecipe } from '../lib/runtime/model-file.ts'
import { createNetworkPool } from '../lib/runtime/pool.ts'
import { createSafetyClient } from './client.ts'
import type { PersonDetector } from './eyes/eyes.ts'
import { createPersonDetector } from './eyes/person-detector.ts'
import { writeRedDetector } from './eyes/test-eyes.ts'
import { createJudge } from './judge.ts'
import { createSafetyMetrics } from './metrics.ts'
import { readPolicy } from './policy/policy.ts'
import type { Safety, Verdict } from './safety.ts'
import { createSafetyServer, type SafetyServerOptions } from './server.ts'

// Real gRPC on loopback.

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function serve(
  safety: Safety,
  options: Partial<SafetyServerOptions> = {},
): Promise<{ server: MeshServer; address: Address }> {
  const slots = createSlots('safety', { slots: 4, queue: 4 })
  const service = createSafetyServer({ safety, slots, readiness: alwaysReady, ...options })
  const server = createMeshServer({ services: [service] })
  cleanups.push(() => server.dispose())
  return { server, address: await server.listen({ host: '127.0.0.1', port: 0 }) }
}

function connect(address: Address, deadlineMs?: number) {
  const client = createSafetyClient({ addresses: [address], ...(deadlineMs ? { deadlineMs } : {}) })
  cleanups.push(() => client[Symbol.dispose]())
  return client
}

const size = { widthPx: 64, heightPx: 64 }
const picture: RgbImage = { ...size, pixels: new Uint8Array(64 * 64 * 3), alpha: null }
const mask: GreyImage = { ...size, pixels: new Uint8Array(64 * 64).fill(255, 100, 200) }
const words = { label: 'dog', prompt: 'a dog beside a woman', negativePrompt: '' }

test('verdicts are the same here and there', async () => {
  const judge = createJudge(readPolicy())
  const client = connect((await serve(judge)).address)
  expect(await client.reviewPrompt(words)).toEqual(await judge.reviewPrompt(words))
  const subject = { reference: picture, mask, label: 'old man' }
  expect(await client.reviewSubject(subject)).toEqual(await judge.reviewSubject(subject))
  const allowed = { decision: 'ALLOWED', findings: [], policyVersion: 'moma-4/words' }
  expect(await client.reviewPicture({ picture, label: 'dog' })).toEqual(allowed)
})

test('scores and regions travel', async () => {
  const region = { left: 0.299, top: 0.3, width: 0.492, height: 0.573 }
  const finding = { stage: 'PICTURE', detector: 'd', reason: 'r', score: 0.83, threshold: 0.6, region } as const
  const verdict: Verdict = { decision: 'REJECTED_CONTENT', findings: [finding], policyVersion: 'v' }
  const answered = { ...verdict, findings: [{ ...finding, score: 0.8301234, region: { ...region, top: 0.30000003 } }] }
  const client = connect((await serve({ ...createJudge(readPolicy()), reviewPicture: async () => answered })).address)
  const shown = { ...finding, score: 0.8301 }
  expect(await client.reviewPicture({ picture, label: 'dog' })).toEqual({ ...verdict, findings: [shown] })
})

describe('no verdict in two seconds is none', () => {
  const slow = { ...createJudge(readPolicy()), reviewPrompt: () => new Promise<never>(() => undefined) }

  test('a judge that takes too long', async () => {
    const client = connect((await serve(slow)).address, 200)
    await expect(client.reviewPrompt(words)).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
      message: 'safety took too long',
    })
  })

  test('nobody there', async () => {
    const { server, address } = await serve(slow)
    await server.dispose()
    await expect(connect(address, 300).reviewPrompt(words)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  test('a judge that breaks, without what broke', async () => {
    const broken = { ...slow, reviewPrompt: async () => Promise.reject(new Error('/srv/secret')) }
    const client = connect((await serve(broken)).address)
    await expect(client.reviewPrompt(words)).rejects.toMatchObject({
      code: 'INTERNAL',
      message: 'safety: something went wrong',
    })
  })
})

test('whoever is not let in, or goes away while waiting, is counted as one without a verdict', async () => {
  const registry = new Registry()
  const slots = createSlots('safety', { slots: 1, queue: 1 })
  const judge = { ...createJudge(readPolicy()), reviewPrompt: () => new Promise<never>(() => undefined) }
  const client = connect((await serve(judge, { slots, metrics: createSafetyMetrics(registry) })).address, 5000)
  const ended = new AbortController()
  const working = client.reviewPrompt(words, ended.signal)
  while (slots.busy < 1) await sleep(5)
  const gone = new AbortController()
  const waiting = client.reviewPicture({ picture, label: 'dog' }, gone.signal)
  while (slots.waiting < 1) await sleep(5)
  await expect(client.reviewPrompt(words)).rejects.toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
  gone.abort()
  await expect(waiting).rejects.toBeDefined()
  while (slots.waiting > 0) await sleep(5)
  const { values } = await registry.getSingleMetric('moma_safety_decisions_total')!.get()
  expect(values.map(({ labels, value }) => ({ ...labels, value }))).toEqual([
    { gate: 'PROMPT', decision: 'NONE', reason: 'full', value: 1 },
    { gate: 'PICTURE', decision: 'NONE', reason: 'canceled', value: 1 },
  ])
  ended.abort()
  await expect(working).rejects.toBeDefined()
})

test('a label that is none is refused', async () => {
  const client = connect((await serve(createJudge(readPolicy()))).address)
  await expect(client.reviewPrompt({ ...words, label: ' ' })).rejects.toMatchObject({
    code: 'INVALID_ARGUMENT',
    message: 'label " " is empty; the subject\'s noun is needed',
  })
})

describe('an eye that fails leaves no verdict', () => {
  const eyesThat = (detect: PersonDetector['detect']): Safety =>
    createJudge(readPolicy(), { personDetector: { detect } })
  const subject = { reference: picture, mask, label: 'dog' }

  test('one that breaks', async () => {
    const client = connect((await serve(eyesThat(async () => Promise.reject(new Error('out of memory'))))).address)
    for (const asked of [client.reviewSubject(subject), client.reviewPicture({ picture, label: 'dog' })]) {
      await expect(asked).rejects.toMatchObject({ code: 'INTERNAL' })
    }
  })

  test('one that takes too long', async () => {
    const client = connect((await serve(eyesThat(() => new Promise(() => undefined)))).address, 200)
    await expect(client.reviewPicture({ picture, label: 'dog' })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  })

  test('a network that answers numbers that are none, one whose thread ends and one that is not there', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'moma-safety-'))
    const pool = createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 2 ** 28 })
    cleanups.push(() => rmSync(folder, { recursive: true }))
    cleanups.push(() => pool.dispose())
    writeRedDetector(join(folder, 'nan.onnx'), 64, 'nan')
    writeRedDetector(join(folder, 'red.onnx'))
    const config = { imageSize: 64, classes: 2, personClasses: [0] }
    const judgeOf = (name: string) =>
      eyesThat(createPersonDetector(pool, modelFileRecipe(name, join(folder, name)), config).detect)
    for (const name of ['nan.onnx', 'none.onnx']) {
      const client = connect((await serve(judgeOf(name))).address)
      await expect(client.reviewSubject(subject)).rejects.toMatchObject({ code: 'INTERNAL' })
    }
    const client = connect((await serve(judgeOf('red.onnx'))).address)
    expect(await client.reviewSubject(subject)).toMatchObject({ decision: 'ALLOWED' })
    await pool.dispose()
    await expect(client.reviewSubject(subject)).rejects.toMatchObject({ code: 'INTERNAL' })
  })

  test('a judgement that was called off is none', async () => {
    const client = connect((await serve(eyesThat(() => new Promise(() => undefined)))).address)
    const calledOff = AbortSignal.timeout(50)
    await expect(client.reviewPicture({ picture, label: 'dog' }, calledOff)).rejects.toMatchObject({
      name: 'TimeoutError',
    })
  })
})
