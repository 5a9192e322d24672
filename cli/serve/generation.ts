import type { z } from 'zod'
import { createContextClient } from '../../services/context/client.ts'
import { createDrawingClient } from '../../services/denoise/client.ts'
import { generationShape } from '../../services/generation/config.ts'
import { openGeneration as openRecord } from '../../services/generation/open.ts'
import { pictureSignerOf, signerShape } from '../../services/generation/picture-signer.ts'
import { createQueueMetrics } from '../../services/generation/queue-metrics.ts'
import { runnerShape } from '../../services/generation/runner/config.ts'
import { createRunnerMetrics } from '../../services/generation/runner/metrics.ts'
import { createRunner, defaultRunnerSettings } from '../../services/generation/runner/runner.ts'
import { openBundle } from '../../services/lib/bundles/bundles.ts'
import type { Address } from '../../services/lib/mesh/address.ts'
import {
  addressesSetting,
  computeShape,
  readConfig,
  serverShape,
  textSetting,
  wholeSetting,
} from '../../services/lib/mesh/config.ts'
import type { LocalCalls } from '../../services/lib/mesh/local-calls.ts'
import { type Hosted, type Surroundings, tlsOf } from '../../services/lib/mesh/running.ts'
import { createSafetyClient, judgementMs } from '../../services/safety/client.ts'
import { createVisionClient } from '../../services/vision/client.ts'
import { dataFolder } from '../start/data.ts'
import { claimServer, takeDatabaseFolder } from './database.ts'
import { type ComputeName, defaultAddress } from './names.ts'
import { openQueues, queuesShape } from './queues.ts'

/** Beside the record's own variables, what its runner needs, and where the other services are. */
export const processShape = {
  ...serverShape,
  ...generationShape,
  ...runnerShape,
  ...signerShape,
  ...queuesShape,
  MOMA_BUNDLE: computeShape.MOMA_BUNDLE,
  MOMA_DATA: textSetting.optional(),
  /** How long a generation under way waits for a service that is away, such as one that is started again. */
  MOMA_SERVICE_WAIT_MS: wholeSetting(0, 3_600_000).default(60_000),
  /** How long a verdict may take once the safety service is there; later ones are none. */
  MOMA_SAFETY_MS: wholeSetting(100, 600_000).default(judgementMs),
}

export const addressShape = {
  MOMA_VISION: addressesSetting,
  MOMA_CONTEXT: addressesSetting,
  MOMA_DENOISE: addressesSetting,
  MOMA_SAFETY: addressesSetting,
}

export type GenerationProcessConfig = z.infer<z.ZodObject<typeof processShape>> & {
  readonly [Name in keyof typeof addressShape]?: readonly Address[] | undefined
} & {
  /** Absolute. */
  readonly dataFolder: string
}

/** `local` are the services of this very process: they need no address. Throws a ConfigError. */
export function readGenerationConfig(env: NodeJS.ProcessEnv, local: readonly ComputeName[]): GenerationProcessConfig {
  const at = (name: ComputeName) => {
    return local.includes(name) ? addressesSetting.optional() : addressesSetting.default([defaultAddress(name)])
  }
  const addresses = {
    MOMA_VISION: at('vision'),
    MOMA_CONTEXT: at('context'),
    MOMA_DENOISE: at('denoise'),
    MOMA_SAFETY: at('safety'),
  }
  return { ...readConfig({ ...processShape, ...addresses }, env), dataFolder: dataFolder(env) }
}

export interface HostedGeneration extends Hosted {
  /** Takes no more generations and lets those under way finish, or puts them back. May be called again. */
  finish(): Promise<void>
}

/** How long whoever sends a photo waits for a safety service that is away. */
const soonMs = 10_000

/** Opens the system of record with its runner; services without an address are `local` ones. Throws a ConfigError where another process works on the same data. */
export async function openGeneration(
  config: GenerationProcessConfig,
  { log, metrics }: Surroundings,
  local: LocalCalls,
): Promise<HostedGeneration> {
  const { manifest } = await openBundle(config.MOMA_BUNDLE)
  const tls = await tlsOf(config)
  const signer = await pictureSignerOf(config, (message) => log.warn(message))
  await using opened = new AsyncDisposableStack()
  if (config.DATABASE_URL === undefined) opened.use(await takeDatabaseFolder(config.dataFolder, log))
  const { jobs, events } = opened.use(await openQueues(config, log))
  const at = (addresses: readonly Address[] | undefined) => (addresses ? { addresses } : { local })
  const waiting = { tls, log, waitMs: config.MOMA_SERVICE_WAIT_MS }
  const vision = opened.use(createVisionClient({ ...waiting, ...at(config.MOMA_VISION) }))
  const context = opened.use(createContextClient({ ...waiting, ...at(config.MOMA_CONTEXT) }))
  const drawing = opened.use(createDrawingClient({ ...waiting, ...at(config.MOMA_DENOISE) }))
  // Without a verdict nothing is drawn or shown. A service that is away is waited for, one that is there has two seconds by
  // default: whatever it is stuck in, no generation and nobody who sends a photo is.
  const judging = { ...waiting, ...at(config.MOMA_SAFETY), deadlineMs: config.MOMA_SAFETY_MS }
  const safety = opened.use(createSafetyClient(judging))
  const soonSafety = opened.use(createSafetyClient({ ...judging, waitMs: soonMs }))
  // Longer than the clients' own waits: they know what they have waited for.
  const reviewMs = (waitMs: number) => waitMs + 2 * config.MOMA_SAFETY_MS
  const record = opened.use(
    await openRecord({
      config,
      dataFolder: config.dataFolder,
      manifest,
      jobs,
      events,
      vision,
      safety: soonSafety,
      reviewTimeoutMs: reviewMs(soonMs),
      log,
      metrics: createQueueMetrics(metrics.registry),
      maxAttempts: defaultRunnerSettings.maxAttempts,
    }),
  )
  const { DATABASE_URL, NATS_URL } = config
  const claim = DATABASE_URL === undefined ? null : opened.use(await claimServer({ DATABASE_URL, NATS_URL }, log))
  const runner = createRunner({
    jobs,
    events,
    store: record.runStore,
    services: { vision, context, drawing, safety },
    bundle: { name: manifest.name, settings: manifest.settings },
    settings: {
      concurrency: config.MOMA_CONCURRENCY,
      checkpointEverySteps: config.MOMA_CHECKPOINT_STEPS,
      previewEverySteps: config.MOMA_PREVIEW_STEPS,
      decodePreviewEverySteps: config.MOMA_DECODE_PREVIEW_STEPS,
      drainMs: config.MOMA_DRAIN_MS,
      reviewTimeoutMs: reviewMs(config.MOMA_SERVICE_WAIT_MS),
    },
    signer,
    log,
    metrics: createRunnerMetrics(metrics.registry),
  })
  opened.defer(() => runner.dispose())
  const kept = opened.move()
  return {
    services: [record.service],
    failed: claim?.lost,
    finish: () => runner.dispose(),
    dispose: () => kept.disposeAsync(),
  }
}
