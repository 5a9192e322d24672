import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findPostgres, startPostgres } from '../../test/postgres.ts'
import { createToyBundle } from '../../test/toy-bundle.ts'
import { readManifest } from '../lib/bundles/manifest.ts'
import { readConfig } from '../lib/mesh/config.ts'
import { createMemoryEvents } from '../lib/mesh/events/memory-events.ts'
import { createMeshServer } from '../lib/mesh/grpc-server.ts'
import { createMemoryJobs } from '../lib/mesh/jobs/memory-jobs.ts'
import { silentLogger } from '../lib/mesh/log.ts'
import { createGenerationClient, type GenerationClient } from './client.ts'
import { generationShape, limitsOf } from './config.ts'
import { type OpenedGeneration, openGeneration } from './open.ts'
import { cutOutPhoto, inPieces } from './test-server.ts'
import { allowed } from './test-world.ts'

const tenant = 't'

/** The service as a process has it, over a folder and the environment's database. */
async function withGeneration<T>(
  dataFolder: string,
  env: NodeJS.ProcessEnv,
  work: (client: GenerationClient, opened: OpenedGeneration) => Promise<T>,
): Promise<T> {
  using bundle = createToyBundle()
  await using jobs = createMemoryJobs()
  await using events = createMemoryEvents()
  await using opened = await openGeneration({
    config: readConfig(generationShape, env),
    dataFolder,
    manifest: await readManifest(join(bundle.folder, 'manifest.json')),
    jobs,
    events,
    vision: {
      segment: async () => {
        throw new Error('there is nothing to look for')
      },
    },
    safety: { reviewPrompt: async () => allowed, reviewSubject: async () => allowed },
    log: silentLogger,
  })
  const server = createMeshServer({ services: [opened.service] })
  try {
    const address = await server.listen({ host: '127.0.0.1', port: 0 })
    using client = createGenerationClient({ addresses: [address] })
    return await work(client, opened)
  } finally {
    await server.dispose()
  }
}

async function accept(client: GenerationClient, idempotencyKey: string): Promise<string> {
  const photo = await cutOutPhoto()
  const contentType = 'image/png'
  const { uploadId, token } = await client.createUpload({ tenant, contentType, byteLength: photo.length })
  await client.writeUpload({ token, contentType }, inPieces(photo))
  const { subject } = await client.createSubject({ tenant, uploadId, label: 'dog', idempotencyKey })
  const settings = { prompt: 'a dog on the moon' }
  const answer = await client.createGeneration({ tenant, subjectId: subject!.id, settings, idempotencyKey })
  return answer.generation!.id
}

describe('what was accepted', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'moma-data-'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test('is there when the process comes back, and its work is found again', async () => {
    const { id, key } = await withGeneration(folder, {}, async (client, { apiKeys }) => ({
      id: await accept(client, 'one'),
      key: (await apiKeys.create({ tenant, name: 'mine', scopes: ['READ'] })).secret,
    }))
    expect(readdirSync(folder).sort()).toEqual(['assets', 'db'])
    await withGeneration(folder, {}, async (client, { runStore }) => {
      expect(await client.authenticate({ apiKey: key })).toEqual({ tenant, scopes: ['SCOPE_READ'] })
      expect(await Array.fromAsync(runStore.unfinished())).toEqual([id])
      const run = await runStore.begin(id)
      expect((await runStore.readAsset(run!.subject.image)).length).toBeGreaterThan(100)
    })
  }, 60_000)
})

const bin = process.env.MOMA_TEST_DATABASE_URL ? findPostgres() : null
const onOwnPostgres = bin ? test : test.skip

onOwnPostgres(
  'while the database is away calls say so, and all is there when it is back',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'moma-data-'))
    await using server = await startPostgres(bin!)
    await withGeneration(folder, { DATABASE_URL: server.url }, async (client) => {
      const id = await accept(client, 'one')
      const watched = client.watchGeneration({ tenant, id })
      // The row, then what was published: from here on it listens.
      for (let heard = 0; heard < 2; heard++) await watched.next()
      server.stop()
      await expect(client.getGenerations({ tenant, ids: [id] })).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        message: "generation: the database can't be reached, try again later",
      })
      await expect(accept(client, 'two')).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      server.start()
      expect((await client.getGenerations({ tenant, ids: [id] })).generations).toMatchObject([{ id }])
      // Who watched all the while hears the end.
      await client.cancelGeneration({ tenant, id })
      expect((await Array.fromAsync(watched)).at(-1)!.progress!.status).toBe('GENERATION_STATUS_CANCELED')
    })
    rmSync(folder, { recursive: true })
  },
  60_000,
)

describe('configuration', () => {
  test('has limits where nothing is said', () => {
    expect(limitsOf(readConfig(generationShape, {}))).toMatchObject({
      maxUploadBytes: 25 * 2 ** 20,
      maxQueued: 100,
      retentionMs: null,
    })
    expect(limitsOf(readConfig(generationShape, { MOMA_RETENTION_DAYS: '2' })).retentionMs).toBe(172_800_000)
  })

  test.each([
    [{ DATABASE_URL: 'mysql://secret@host/x' }, 'DATABASE_URL is not usable'],
    [{ MOMA_MAX_QUEUED: '0' }, 'MOMA_MAX_QUEUED is "0"'],
    [{ MOMA_S3_ENDPOINT: 'minio' }, 'MOMA_S3_ENDPOINT is "minio"'],
  ])('%j is refused with one sentence', (env, sentence) => {
    expect(() => readConfig(generationShape, env)).toThrow(sentence)
  })
})
