import { type Address, formatAddress } from './address.ts'
import { ConfigError, type ServerConfig } from './config.ts'
import { createMeshServer } from './grpc-server.ts'
import type { LocalCalls } from './local-calls.ts'
import { createLogger, type Logger } from './log.ts'
import { createMetrics, type Metrics, serveMetrics } from './metrics.ts'
import type { MeshService } from './service.ts'
import { readTls, type TlsIdentity, watchExpiry } from './tls.ts'

/** A server that listens. */
export interface Running {
  /** `host:port`, with the real port; several with commas between. */
  readonly address: string
  /** Finishes what is under way, within a bound, and ends. May be called again. */
  drain(): Promise<void>
}

/** What a service is made with. */
export interface Surroundings {
  readonly log: Logger
  readonly metrics: Metrics
}

/** What a process hosts, and how to let go of what it stands on. */
export interface Hosted {
  readonly services: readonly MeshService[]
  /** Throws when they can't serve any more in this process, whatever is tried. */
  readonly failed?: Promise<never> | undefined
  /** Takes up nothing new and ends what is under way, while the services it needs still serve this process. */
  readonly finish?: (() => Promise<void>) | undefined
  dispose(): Promise<void>
}

/**
 * Opens the services, listens for gRPC at each of the addresses, and for metrics where asked to. What was opened before
 * a failure is closed again.
 */
export async function startServer(
  config: ServerConfig,
  addresses: readonly Address[],
  open: (surroundings: Surroundings) => Promise<Hosted>,
  local?: LocalCalls,
): Promise<Running> {
  const log = createLogger(config.LOG_LEVEL)
  const metrics = createMetrics()
  await using opened = new AsyncDisposableStack()
  const tls = await tlsOf(config)
  if (tls) opened.use(watchExpiry(tls, (message) => log.warn(message)))
  const hosted = await open({ log, metrics })
  opened.defer(() => hosted.dispose())
  const server = createMeshServer({ services: hosted.services, tls, log, metrics, ...(local ? { local } : {}) })
  opened.defer(() => server.drain(config.MOMA_DRAIN_MS, hosted.finish?.()))
  if (config.MOMA_METRICS_LISTEN) {
    const metricsServer = await serveMetrics(metrics, config.MOMA_METRICS_LISTEN)
    opened.defer(() => metricsServer.dispose())
  }
  const bound: string[] = []
  for (const one of addresses) bound.push(formatAddress(await server.listen(one)))
  const address = bound.join(',')
  const names = hosted.services.map(({ contract }) => contract.shortName)
  log.info({ address, services: names, tls: tls ? (tls.authority ? 'mutual' : 'server') : 'off' }, 'listening')
  const kept = opened.move()
  let ending: Promise<void> | undefined
  return {
    address,
    drain() {
      ending ??= kept.disposeAsync()
      return ending
    },
  }
}

/** Reads the certificates where the variables name any. Throws a ConfigError where one is missing or can't be read. */
export async function tlsOf(config: ServerConfig): Promise<TlsIdentity | null> {
  const { MOMA_TLS_CERTIFICATE: certificate, MOMA_TLS_KEY: key, MOMA_TLS_AUTHORITY: authority } = config
  if (!certificate && !key && !authority) return null
  if (!certificate || !key) {
    const missing = certificate ? 'MOMA_TLS_KEY' : 'MOMA_TLS_CERTIFICATE'
    throw new ConfigError(`${missing} is missing; allowed: the path of a PEM file, as TLS needs certificate and key.`)
  }
  try {
    return await readTls({ certificate, key, authority: authority ?? null })
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConfigError(`MOMA_TLS_CERTIFICATE, _KEY or _AUTHORITY can't be read; allowed: PEM files (${reason}).`)
  }
}
