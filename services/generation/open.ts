import { join } from 'node:path'
import type { Manifest } from '../lib/bundles/manifest.ts'
import type { Events } from '../lib/mesh/events/events.ts'
import type { Jobs } from '../lib/mesh/jobs/jobs.ts'
import type { Logger } from '../lib/mesh/log.ts'
import type { MeshService } from '../lib/mesh/service.ts'
import type { Safety } from '../safety/safety.ts'
import type { Vision } from '../vision/vision.ts'
import { type ApiKeys, createApiKeys } from './api-keys.ts'
import { createAssets } from './assets/assets.ts'
import { type AssetStorage, bucketStorage, folderStorage } from './assets/storage.ts'
import { type GenerationConfig, limitsOf } from './config.ts'
import { openDatabase } from './db/database.ts'
import type { QueueMetrics } from './queue-metrics.ts'
import type { RunStore } from './runner/run-store.ts'
import { createGenerationServer } from './server.ts'
import { createRunStore } from './store/run-store.ts'
import { startSweeping } from './sweep.ts'

export interface OpenGenerationOptions {
  readonly config: GenerationConfig
  /** Absolute path of the folder for what is kept on this machine: the embedded database in `db`, files in `assets`. */
  readonly dataFolder: string
  readonly manifest: Manifest
  /** Disposed by whoever made them, after this. */
  readonly jobs: Jobs
  readonly events: Events
  readonly vision: Pick<Vision, 'segment'>
  readonly safety: Pick<Safety, 'reviewPrompt' | 'reviewSubject'>
  /** How long a photo's verdict may take, whatever `safety` itself bounds. */
  readonly reviewTimeoutMs?: number
  readonly log: Logger
  readonly metrics?: QueueMetrics
  /** Attempts at one generation before it is given up. */
  readonly maxAttempts?: number
}

export interface OpenedGeneration extends AsyncDisposable {
  readonly service: MeshService
  /** For a runner in this process. */
  readonly runStore: RunStore
  readonly apiKeys: ApiKeys
}

/**
 * Opens the system of record: the database with its tables up to date, the files, and the service over both; sweeps from
 * now on. Throws UNAVAILABLE where a PostgreSQL does not answer. Keeping other processes out of the folder is the caller's.
 */
export async function openGeneration(options: OpenGenerationOptions): Promise<OpenedGeneration> {
  const { config, dataFolder, manifest, jobs, events, vision, safety, log, metrics, maxAttempts = 5 } = options
  const { DATABASE_URL: url } = config
  const now = () => new Date()
  const limits = limitsOf(config)
  await using opened = new AsyncDisposableStack()
  const db = opened.use(await openDatabase(url === undefined ? { folder: join(dataFolder, 'db') } : { url }, log))
  const assets = createAssets({ db, storage: await storageOf(config, dataFolder), log, now })
  opened.defer(() => assets.settled())
  const service = createGenerationServer({
    db,
    assets,
    jobs,
    events,
    vision,
    safety,
    ...(options.reviewTimeoutMs !== undefined && { reviewTimeoutMs: options.reviewTimeoutMs }),
    manifest,
    limits,
    executionProvider: config.MOMA_PROVIDER,
    log,
    now,
  })
  const runStore = createRunStore({ db, assets, events, log, now, maxAttempts, bundle: manifest.name })
  opened.use(startSweeping({ db, assets, jobs, limits, log, ...(metrics && { metrics }), now }))
  const kept = opened.move()
  return {
    service,
    runStore,
    apiKeys: createApiKeys(db, now),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

async function storageOf(config: GenerationConfig, dataFolder: string): Promise<AssetStorage> {
  const { MOMA_S3_BUCKET: bucket, MOMA_S3_REGION: region, MOMA_S3_ENDPOINT: endpoint } = config
  if (bucket === undefined) return folderStorage(join(dataFolder, 'assets'))
  return bucketStorage({ bucket, region, endpoint: endpoint ?? null })
}
