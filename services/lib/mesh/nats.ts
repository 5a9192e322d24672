import { setTimeout as sleep } from 'node:timers/promises'
import { type JetStreamClient, type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream'
import {
  AuthorizationError,
  connect,
  type NatsConnection,
  UserAuthenticationExpiredError,
} from '@nats-io/transport-node'
import { MeshError } from './errors.ts'
import { type Logger, silentLogger } from './log.ts'

/** A connection to NATS with JetStream that comes back by itself. */
export interface Nats extends AsyncDisposable {
  readonly connection: NatsConnection
  readonly streams: JetStreamClient
  readonly manager: JetStreamManager
  readonly connected: boolean
  /** Waits for a lost connection for as long as a request may take. Throws UNAVAILABLE when it does not come back. */
  ready(): Promise<void>
  /** Told each time that a lost connection is back, perhaps to a server that has lost its store. Returns what ends the telling. */
  onReconnect(listener: () => void): () => void
}

export interface NatsOptions {
  /** `nats://host:4222` or `tls://…`, several with commas between; user and password, or a token, before an `@`. */
  readonly url: string
  readonly log?: Logger
  /** Of one request, and of the first connection. */
  readonly timeoutMs?: number
}

/** The oldest with a bound of messages per subject that refuses the new. */
const oldestVersion = [2, 9] as const

/** Connects once. Throws a MeshError with one sentence when nobody is there, or somebody too old or without JetStream. */
export async function connectNats({ url, log = silentLogger, timeoutMs = 3000 }: NatsOptions): Promise<Nats> {
  const connection = await open(url, timeoutMs)
  await using opened = new AsyncDisposableStack()
  opened.defer(() => connection.close())
  const { version = '' } = connection.info ?? {}
  if (!isSupported(version)) {
    const allowed = `${oldestVersion.join('.')} or newer`
    throw new MeshError('FAILED_PRECONDITION', `NATS: the server's version is ${version}, allowed is ${allowed}`)
  }
  const options = { timeout: timeoutMs }
  const manager = await jetstreamManager(connection, options).catch((error) => {
    throw new MeshError('FAILED_PRECONDITION', 'NATS: the server has no JetStream, start it with -js', error)
  })

  const listeners = new Set<() => void>()
  let connected = true
  let refused = false
  // Each attempt to come back that fails is told of as another loss and, once one succeeds, as a return.
  const follow = async () => {
    for await (const status of connection.status()) {
      if (status.type === 'error' && isRefusal(status.error) && !refused) {
        refused = true
        log.warn({ reason: status.error.message }, 'NATS refuses this client; it is asked again')
      }
      if (status.type === 'disconnect' && connected) {
        connected = false
        log.warn('NATS is gone')
      }
      if (status.type !== 'reconnect' || connected) continue
      connected = true
      refused = false
      log.info('NATS is back')
      for (const listener of [...listeners]) listener()
    }
  }
  void follow()

  const kept = opened.move()
  return {
    connection,
    streams: jetstream(connection, options),
    manager,
    get connected() {
      return connected && !connection.isClosed()
    },
    async ready() {
      for (const end = performance.now() + timeoutMs; !connected && performance.now() < end; ) await sleep(20)
      if (!connected || connection.isClosed()) throw new MeshError('UNAVAILABLE', "NATS can't be reached")
    },
    onReconnect(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

async function open(url: string, timeoutMs: number): Promise<NatsConnection> {
  const urls = url.split(',').map((one) => parse(one.trim()))
  const [first] = urls
  const [user, pass] = [decodeURIComponent(first?.username ?? ''), decodeURIComponent(first?.password ?? '')]
  const credentials = pass ? { user, pass } : user ? { token: user } : {}
  try {
    return await connect({
      servers: urls.map(({ host }) => host),
      name: 'moma',
      ...credentials,
      ...(first?.protocol === 'tls:' ? { tls: {} } : {}),
      timeout: timeoutMs,
      maxReconnectAttempts: -1,
      // Otherwise a server that refuses twice in a row, as one does while it is given another token, is never asked again.
      ignoreAuthErrorAbort: true,
      reconnectTimeWait: 250,
      reconnectJitter: 250,
      pingInterval: 10_000,
      noAsyncTraces: true,
    })
  } catch (error) {
    throw new MeshError('UNAVAILABLE', "NATS can't be reached, is NATS_URL its address?", error)
  }
}

const isRefusal = (error: Error) =>
  error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError

function parse(url: string): URL {
  if (!URL.canParse(url) || !/^(nats|tls):$/.test(new URL(url).protocol)) {
    // The value is not repeated: it may hold a password.
    throw new MeshError('INVALID_ARGUMENT', 'NATS_URL is not usable, allowed is nats://host:port or tls://host:port')
  }
  return new URL(url)
}

function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > oldestVersion[0] || (major === oldestVersion[0] && minor >= oldestVersion[1])
}
