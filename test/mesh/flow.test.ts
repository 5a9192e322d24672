import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import { hasNatsServer, startNatsServer } from '../nats.ts'
import { findPostgres, startPostgres } from '../postgres.ts'
import { createMeshHttpClient, type MeshHttpClient, type Snapshot } from './client.ts'
import {
  askForGeneration,
  cancelGeneration,
  createGeneration,
  createSubject,
  deleteSubject,
  getGeneration,
  hasEnded,
} from './operations.ts'
import { startMesh } from './start-mesh.ts'

// The whole flow from outside, against a real `moma start` on the toy bundle.

interface Mode {
  readonly name: string
  /** Whether what it takes is installed. */
  readonly possible: boolean
  /** Starts what the mesh stands on; its variables. */
  open(stack: AsyncDisposableStack): Promise<NodeJS.ProcessEnv>
}

const postgres = findPostgres()

const modes: readonly Mode[] = [
  { name: 'embedded', possible: true, open: async () => ({}) },
  {
    name: 'NATS and PostgreSQL',
    possible: hasNatsServer && postgres !== null,
    async open(stack) {
      const { url: NATS_URL } = stack.use(await startNatsServer())
      const { url: DATABASE_URL } = stack.use(await startPostgres(postgres!))
      return { NATS_URL, DATABASE_URL }
    },
  },
]

interface SubjectAnswer {
  readonly label: string
  readonly status: string
  readonly image: { readonly url: string; readonly width: number; readonly height: number }
  readonly mask: { readonly url: string }
  readonly safety: { readonly decision: string }
}

const possible = modes.filter((mode) => mode.possible)

describe.each(possible)('$name', ({ open }) => {
  const opened = new AsyncDisposableStack()
  let client: MeshHttpClient
  let subjectId: string

  beforeAll(async () => {
    const mesh = opened.use(await startMesh({ env: await open(opened) }))
    client = opened.use(createMeshHttpClient(mesh.url))
    subjectId = await createSubject(client)
    // The first picture waits for the networks to be loaded.
    await follow(await createGeneration(client, { subjectId, steps: 1 }), 'ws')
  }, 120_000)

  afterAll(() => opened.disposeAsync(), 20_000)

  const follow = (id: string, over: 'ws' | 'sse', after?: string): Promise<Snapshot[]> =>
    Array.fromAsync(client.watch(id, over, after))

  test('a photo with its mask becomes a subject, whose pictures can be had', async () => {
    const { subject } = await client.ask<{ subject: SubjectAnswer }>(
      `query ($id: ID!) {
        subject(id: $id) { label status image { url width height } mask { url } safety { decision } }
        capabilities { bundle sizePx segmentation }
      }`,
      { id: subjectId },
    )
    expect(subject).toMatchObject({ label: 'toy', status: 'READY', image: { width: 128, height: 128 } })
    expect(subject.safety).toEqual({ decision: 'ALLOWED' })
    expect(await sharp(await client.bytes(subject.mask.url)).metadata()).toMatchObject({ format: 'png', width: 128 })
  })

  test('a generation is followed over WebSocket and server-sent events to its pictures', async () => {
    const id = await createGeneration(client, { subjectId, seed: 7, steps: 4, count: 2 })
    const [ws, sse] = await Promise.all([follow(id, 'ws'), follow(id, 'sse')])
    for (const snapshots of [ws, sse]) {
      const last = snapshots.at(-1)!
      expect(last).toMatchObject({ status: 'SUCCEEDED', step: 4, steps: 4, fraction: 1 })
      const shares = snapshots.map(({ fraction }) => fraction)
      expect(shares).toEqual(shares.toSorted((a, b) => a - b))
      expect(snapshots.map(({ stage }) => stage)).toContain('DENOISE')
    }
    const generation = await getGeneration(client, id)
    expect(generation!.images.map(({ index, seed }) => [index, seed])).toEqual([
      [0, 7],
      [1, 8],
    ])
    expect(generation!.timings.map(({ stage }) => stage)).toContain('DENOISE')
    const picture = await sharp(await client.bytes(generation!.images[0]!.url)).metadata()
    expect(picture).toMatchObject({ format: 'png', width: 128, height: 128 })

    // Whoever comes back with a cursor gets what followed it, and whoever comes late the end.
    expect((await follow(id, 'ws', ws.at(-2)!.cursor)).map(({ cursor }) => cursor)).toEqual([ws.at(-1)!.cursor])
    expect((await follow(id, 'sse')).map(({ status }) => status)).toEqual(['SUCCEEDED'])
  }, 30_000)

  test("the README's query gives the README's answer, but for addresses and times", async () => {
    const readme = readFileSync(fileURLToPath(new URL('../../README.md', import.meta.url)), 'utf8')
    const [, query, answer] = /```graphql\n([\s\S]*?)```\s+```json\n([\s\S]*?)```/.exec(readme)!
    const id = await createGeneration(client, { subjectId, seed: 7, steps: 20 })
    await follow(id, 'ws')
    const comparable = (value: unknown) =>
      JSON.parse(JSON.stringify(value, (name, one) => (name === 'url' || name === 'ms' ? typeof one : one)))
    expect(comparable({ data: await client.ask(query!, { id }) })).toEqual(comparable(JSON.parse(answer!)))
  }, 30_000)

  test('the same seed draws the same picture', async () => {
    const bytes = async () => {
      const id = await createGeneration(client, { subjectId, seed: 21, steps: 2 })
      await follow(id, 'ws')
      const generation = await getGeneration(client, id)
      return client.bytes(generation!.images[0]!.url)
    }
    expect(Buffer.from(await bytes()).equals(Buffer.from(await bytes()))).toBe(true)
  }, 30_000)

  test('an idempotency key makes one generation of many requests, and another body is a conflict', async () => {
    const input = { subjectId, seed: 5, steps: 1, idempotencyKey: 'once' }
    const answers = await Promise.all(Array.from({ length: 4 }, () => askForGeneration(client, input)))
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1)
    expect(answers[0]!.__typename).toBe('Generation')
    expect(await askForGeneration(client, { ...input, seed: 6 })).toMatchObject({ __typename: 'Conflict' })
  }, 30_000)

  test('what is canceled stops before its last step, however often it is asked', async () => {
    const id = await createGeneration(client, { subjectId, seed: 1, steps: 900 })
    const seen: Snapshot[] = []
    for await (const snapshot of client.watch(id, 'ws')) {
      seen.push(snapshot)
      if (snapshot.status === 'RUNNING' && snapshot.step > 0 && seen.every(({ status }) => status !== 'CANCELING')) {
        await cancelGeneration(client, id)
        await cancelGeneration(client, id)
      }
    }
    expect(seen.at(-1)).toMatchObject({ status: 'CANCELED' })
    expect(seen.at(-1)!.step).toBeLessThan(900)
    expect(await cancelGeneration(client, id)).toBe('CANCELED')
  }, 30_000)

  test('a deleted subject takes its generations and pictures along', async () => {
    const doomed = await createSubject(client)
    const done = await createGeneration(client, { subjectId: doomed, seed: 3, steps: 1 })
    await follow(done, 'sse')
    const { images } = (await getGeneration(client, done))!
    const running = await createGeneration(client, { subjectId: doomed, seed: 4, steps: 900 })
    await deleteSubject(client, doomed)
    expect(await getGeneration(client, done)).toBeNull()
    await expect(client.bytes(images[0]!.url)).rejects.toMatchObject({ httpStatus: 404 })
    const left = await getGeneration(client, running)
    expect(left === null || hasEnded(left.status)).toBe(true)
  }, 30_000)

  test.each([
    ['steps', { steps: 0 }],
    ['prompt', { prompt: 'a '.repeat(6000) }],
    ['count', { count: 9 }],
  ])('%s that is not allowed is refused in one sentence that names it', async (field, wrong) => {
    const answer = await askForGeneration(client, { subjectId, ...wrong })
    expect(answer).toMatchObject({ __typename: 'InvalidInput', message: expect.stringContaining(field) })
  })
})
