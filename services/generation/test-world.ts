import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMemoryEvents } from '../lib/mesh/events/memory-events.ts'
import { createMemoryJobs } from '../lib/mesh/jobs/memory-jobs.ts'
import { silentLogger } from '../lib/mesh/log.ts'
import type { Verdict } from '../safety/safety.ts'
import { createAssets } from './assets/assets.ts'
import { folderStorage } from './assets/storage.ts'
import type { Database } from './db/database.ts'
import { assets as assetRows, generations as generationRows } from './db/schema.ts'
import { openTestDatabase } from './db/test-database.ts'
import { newId } from './ids.ts'
import { completeRequest } from './request.ts'
import type { NewAsset, RunStore } from './runner/run-store.ts'
import type { GenerationRow } from './store/generations.ts'
import { createRunStore } from './store/run-store.ts'
import { insertSubject, type SubjectRow } from './store/subjects.ts'

export const allowed: Verdict = { decision: 'ALLOWED', findings: [], policyVersion: 'test' }

export const settings = {
  sizePx: 64,
  strength: { recontextualize: 1, retexture: 0.5 },
  guidance: 7.5,
  steps: 20,
  subjectBranchBelowTimestep: 950,
  subjectTokens: 'allOfWord',
  ipAdapterScale: 0.6,
  latentToRgb: { factors: [[0, 0, 0]] },
} as const

export const newAsset = (text: string): NewAsset => ({
  bytes: Buffer.from(text),
  contentType: 'image/png',
  widthPx: 8,
  heightPx: 8,
})

/** The system of record with an empty database, a folder and a clock that the test moves. */
export async function openWorld(kind: Database['kind']) {
  await using opened = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'moma-generation-'))
  opened.defer(() => rmSync(folder, { recursive: true }))
  const db = opened.use(await openTestDatabase(kind))
  const jobs = opened.use(createMemoryJobs())
  const events = opened.use(createMemoryEvents())
  let offsetMs = 0
  const now = () => new Date(Date.now() + offsetMs)
  const storage = folderStorage(folder)
  const common = { db, log: silentLogger, now }
  const assets = createAssets({ ...common, storage })
  const runStore: RunStore = createRunStore({ ...common, assets, events, maxAttempts: 3, bundle: 'moma-test' })
  const kept = opened.move()

  return {
    ...common,
    folder,
    storage,
    jobs,
    events,
    assets,
    runStore,
    advance(ms: number) {
      offsetMs += ms
    },
    /** A subject that may be drawn, with its files; the toy bundle works at 128 px. */
    async addSubject(tenant: string, sizePx = 128): Promise<SubjectRow> {
      const size = { widthPx: sizePx, heightPx: sizePx }
      const files = await assets.write(
        tenant,
        ['photo', 'mask'].map((text) => ({ ...newAsset(text), ...size })),
      )
      const [image, mask] = [files[0]!, files[1]!]
      const row: SubjectRow = {
        id: newId('sub'),
        tenant,
        label: 'dog',
        status: 'READY',
        contentHash: 'hash',
        imageKey: image.key,
        maskKey: mask.key,
        verdict: allowed,
        uploadIds: [],
        idempotencyKey: null,
        requestHash: '',
        createdAt: now(),
      }
      await db.transaction(async (queries) => {
        await assets.keep(queries, files)
        await insertSubject(queries, row)
      })
      return row
    },
    async addGeneration(subject: SubjectRow, more: Partial<GenerationRow> = {}): Promise<GenerationRow> {
      const row: GenerationRow = {
        id: newId('gen'),
        tenant: subject.tenant,
        subjectId: subject.id,
        status: 'QUEUED',
        stage: null,
        stageStartedAt: null,
        attempt: 0,
        step: 0,
        request: completeRequest({ prompt: 'a dog on the moon', seed: 5 }, settings as never),
        timings: {},
        problem: null,
        promptVerdict: null,
        unreadPrompt: null,
        idempotencyKey: null,
        requestHash: '',
        createdAt: now(),
        startedAt: null,
        completedAt: null,
        ...more,
      }
      await db.run((queries) => queries.insert(generationRows).values(row))
      return row
    },
    /** Names of all files, by what the database knows of them. */
    async fileStates(): Promise<Record<string, number>> {
      const rows = await db.run((queries) => queries.select().from(assetRows))
      return Object.fromEntries(
        Object.entries(Object.groupBy(rows, ({ state }) => state)).map(([state, of]) => [state, of.length]),
      )
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

export type World = Awaited<ReturnType<typeof openWorld>>
