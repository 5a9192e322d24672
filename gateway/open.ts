import { createGenerationClient } from '../services/generation/client.ts'
import { createProgressFeed } from '../services/generation/graphql/progress-feed.ts'
import { type Address, formatAddress, listenAt } from '../services/lib/mesh/address.ts'
import { ConfigError } from '../services/lib/mesh/config.ts'
import { createLogger, type Logger } from '../services/lib/mesh/log.ts'
import { createMetrics, serveMetrics } from '../services/lib/mesh/metrics.ts'
import { type Running, type Surroundings, tlsOf } from '../services/lib/mesh/running.ts'
import { watchExpiry } from '../services/lib/mesh/tls.ts'
import { type Access, createAccess } from './access.ts'
import { type AuthMode, type GatewayConfig, isForThisMachine, isLoopback } from './config.ts'
import { createGatewayMetrics } from './metrics.ts'
import { createGatewayServer } from './server.ts'
import { loadSupergraph } from './supergraph.ts'

// Apollo's gateway class reports its use unless this is set; it is not used here, nor would it say anything.
process.env.APOLLO_TELEMETRY_DISABLED = '1'

/**
 * Connects to the generation service and listens. Throws a ConfigError where the configuration would let strangers in.
 * What was opened before a failure is closed again.
 */
export async function startGateway(
  config: GatewayConfig,
  surroundings: Surroundings = { log: createLogger(config.LOG_LEVEL), metrics: createMetrics() },
): Promise<Running> {
  const { log, metrics } = surroundings
  const loopback = isLoopback(config.HOST)
  const forThisMachine = isForThisMachine(config)
  await using opened = new AsyncDisposableStack()
  const tls = await tlsOf(config)
  if (tls) opened.use(watchExpiry(tls, (message) => log.warn(message)))
  const generation = opened.use(createGenerationClient({ addresses: config.MOMA_GENERATION, tls, log }))
  const progress = opened.use(createProgressFeed(generation))
  const access = createAccess({ mode: config.MOMA_AUTH, forThisMachine, generation })
  if (config.MOMA_AUTH === 'auto' && !forThisMachine) await requireKeys(access, config, log)

  // The port is known once it is listened at; nobody asks before that.
  let bound: Address = { host: config.HOST, port: config.PORT }
  const server = await createGatewayServer({
    supergraph: loadSupergraph(log),
    generation,
    progress,
    access,
    metrics: createGatewayMetrics(metrics.registry),
    explorer: config.MOMA_EXPLORER === 'on' || (config.MOMA_EXPLORER === 'auto' && loopback),
    log,
    loopback,
    origins: config.MOMA_CORS_ORIGINS,
    publicUrl: () => config.MOMA_PUBLIC_URL ?? `http://${formatAddress(named(bound))}`,
  })
  opened.defer(() => server.drain(config.MOMA_DRAIN_MS))
  if (config.MOMA_METRICS_LISTEN) {
    const metricsServer = await serveMetrics(metrics, config.MOMA_METRICS_LISTEN)
    opened.defer(() => metricsServer.dispose())
  }
  bound = await listenAt(server.http, bound)
  log.info({ address: formatAddress(bound), generation: config.MOMA_GENERATION.map(formatAddress) }, 'listening')
  log.info({ auth: config.MOMA_AUTH }, authSentence(config.MOMA_AUTH, forThisMachine))
  if (isWildcard(config.HOST) && !config.MOMA_PUBLIC_URL) {
    log.warn('MOMA_PUBLIC_URL is missing: the addresses of pictures and uploads begin with http://localhost')
  }
  const kept = opened.move()
  let ending: Promise<void> | undefined
  return {
    address: formatAddress(bound),
    drain() {
      ending ??= kept.disposeAsync()
      return ending
    },
  }
}

const isWildcard = (host: string) => host === '0.0.0.0' || host === '::'

/** An address that a client on this machine can use. */
const named = ({ host, port }: Address): Address => ({ host: isWildcard(host) ? 'localhost' : host, port })

/** Whoever listens to others without a key to ask for would let everybody in. */
async function requireKeys(access: Access, { HOST: host, MOMA_PUBLIC_URL: url }: GatewayConfig, log: Logger) {
  const hasKeys = await access.hasKeys().catch((error: unknown) => {
    log.warn({ err: error }, 'whether there are API keys could not be told; every operation needs one')
    return true
  })
  if (hasKeys) return
  const message = isLoopback(host) ? `MOMA_PUBLIC_URL is "${url}"` : `HOST is "${host}"`
  const allowed =
    'one of loopback such as 127.0.0.1, or any once there is a key (MOMA_AUTH=keys starts before there is one)'
  throw new ConfigError(`${message} and there is no API key; allowed: ${allowed}.`)
}

function authSentence(mode: AuthMode, forThisMachine: boolean): string {
  if (mode === 'open') return 'every operation on this machine is the tenant "local"; no API key is asked for'
  if (mode === 'keys' || !forThisMachine) return 'every operation needs an API key'
  return 'operations on this machine are the tenant "local" until there is an API key; from then on they need one'
}
