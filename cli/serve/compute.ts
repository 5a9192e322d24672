import { openContext } from '../../services/context/open.ts'
import { createContextServer } from '../../services/context/server.ts'
import { openDrawing } from '../../services/denoise/open.ts'
import { createDenoiseServer } from '../../services/denoise/server.ts'
import { type Bundle, openBundle } from '../../services/lib/bundles/bundles.ts'
import { featureChannels } from '../../services/lib/bundles/weight-files.ts'
import type { ComputeConfig } from '../../services/lib/mesh/config.ts'
import { networkReadiness, type Readiness } from '../../services/lib/mesh/readiness.ts'
import type { Hosted, Surroundings } from '../../services/lib/mesh/running.ts'
import type { MeshService } from '../../services/lib/mesh/service.ts'
import { createSlots, type Slots } from '../../services/lib/mesh/slots.ts'
import { createNetworkPool, type NetworkPool } from '../../services/lib/runtime/pool.ts'
import { requireProvider } from '../../services/lib/runtime/providers.ts'
import type { Recipe } from '../../services/lib/runtime/recipe.ts'
import { openAuditLog } from '../../services/safety/audit-log.ts'
import type { SafetyProcessConfig } from '../../services/safety/config.ts'
import { createSafetyMetrics } from '../../services/safety/metrics.ts'
import { openSafety } from '../../services/safety/open.ts'
import { recorded } from '../../services/safety/recorded.ts'
import { createSafetyServer } from '../../services/safety/server.ts'
import { openVision } from '../../services/vision/open.ts'
import { createVisionServer } from '../../services/vision/server.ts'
import type { ComputeName } from './names.ts'

/** What the services of one process stand on together. */
interface Ground {
  readonly bundle: Bundle
  readonly pool: NetworkPool
  readonly slots: Slots
  readonly surroundings: Surroundings
  /** Null where safety is not among the services. */
  readonly safetyConfig: SafetyProcessConfig | null
  /** Ready once these networks have been opened. */
  readiness(networks: readonly Recipe[]): Readiness
}

const openers: Readonly<Record<ComputeName, (ground: Ground) => Promise<MeshService>>> = {
  async vision({ bundle, pool, slots, readiness }) {
    const { vision, networks } = await openVision(bundle, pool)
    return createVisionServer({ vision, slots, readiness: readiness(networks) })
  },
  async context({ bundle, pool, slots, readiness }) {
    const { context, networks } = await openContext(bundle, pool)
    const channels = featureChannels(bundle)
    return createContextServer({ context, featureChannels: channels, slots, readiness: readiness(networks) })
  },
  async denoise({ bundle, pool, slots, readiness }) {
    const { drawing, networks, latentChannels, embeddingChannels } = await openDrawing(bundle, pool)
    return createDenoiseServer({ drawing, latentChannels, embeddingChannels, slots, readiness: readiness(networks) })
  },
  async safety({ bundle, pool, slots, readiness, surroundings, safetyConfig }) {
    if (!safetyConfig) throw new TypeError('safety is opened without its settings')
    const { safety, judges, networks } = await openSafety(bundle, pool, {
      policyFile: safetyConfig.MOMA_SAFETY_POLICY,
      require: safetyConfig.MOMA_SAFETY_REQUIRE,
    })
    surroundings.log.info({ service: 'safety', judges }, 'who judges; what is not among them is not looked at')
    const audit = await openAuditLog(safetyConfig.auditFolder)
    const metrics = createSafetyMetrics(surroundings.metrics.registry)
    const judge = recorded(safety, audit, metrics)
    return createSafetyServer({ safety: judge, slots, readiness: readiness(networks), metrics })
  },
}

/** So often in a row a network is lost to a broken provider before only another process can help. */
const mostBreaks = 5

/** Opens services over one bundle, one pool of networks and one budget of memory. Throws a BundleError where files are missing. */
export async function openCompute(
  names: readonly ComputeName[],
  config: ComputeConfig,
  surroundings: Surroundings,
  safetyConfig: SafetyProcessConfig | null = null,
  createPool = createNetworkPool,
): Promise<Hosted> {
  const { log, metrics } = surroundings
  await requireProvider(config.MOMA_PROVIDER)
  const bundle = await openBundle(config.MOMA_BUNDLE)
  await using opened = new AsyncDisposableStack()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  const pool = createPool({
    provider: config.MOMA_PROVIDER,
    threads: config.MOMA_THREADS,
    memoryBytes: config.MOMA_MEMORY,
    onLoad: ({ name, weightBytes, elapsedMs }) =>
      log.info({ network: name, weightBytes, elapsedMs: Math.round(elapsedMs) }, 'network loaded'),
    onBroken: (err, inARow) => {
      log.error({ network: err.network, inARow, err }, `${config.MOMA_PROVIDER} computes nothing any more`)
      if (inARow >= mostBreaks) failed.reject(err)
    },
  })
  opened.defer(() => pool.dispose())
  const services: MeshService[] = []
  for (const name of names) {
    const slots = createSlots(name, { slots: config.MOMA_SLOTS, queue: config.MOMA_QUEUE })
    metrics.watchSlots(name, slots)
    const readiness = (networks: readonly Recipe[]) =>
      networkReadiness(pool, networks, {
        onFailure: (err) => log.error({ service: name, err }, "a network can't be opened"),
      })
    services.push(await openers[name]({ bundle, pool, slots, surroundings, safetyConfig, readiness }))
  }
  const kept = opened.move()
  return { services, failed: failed.promise, dispose: () => kept.disposeAsync() }
}
