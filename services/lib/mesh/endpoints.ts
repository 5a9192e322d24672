import { Client, type ClientReadableStream, Metadata, status } from '@grpc/grpc-js'
import { type Address, formatAddress } from './address.ts'
import type { Contract } from './contracts.ts'
import { MeshError } from './errors.ts'
import { maxMessageBytes } from './grpc-server.ts'
import { healthContract, type ServingStatus } from './health.ts'
import { type Logger, silentLogger } from './log.ts'
import { channelCredentials, type TlsIdentity } from './tls.ts'

/** The copies of one service, and which of them serve now. */
export interface Endpoints {
  /** The next serving copy in turn; waits for one until the signal is aborted or `waitMs` have passed, then UNAVAILABLE. */
  pick(signal?: AbortSignal): Promise<Client>
  /** How many copies serve now. */
  readonly serving: number
  dispose(): void
}

export interface EndpointOptions {
  readonly addresses: readonly Address[]
  readonly tls?: TlsIdentity | null
  readonly log?: Logger
  /** Longest wait for a copy that serves. */
  readonly waitMs?: number
}

/** Wait before a copy that is gone is looked for again; doubled up to the largest, and scattered. */
const reconnectMs = { first: 50, largest: 1000 }

/** Bytes that a server may send before it is told to go on: HTTP/2's 64 KiB would make a picture wait for that many times. */
const flowControlWindow = 2 * 2 ** 20

interface Endpoint {
  readonly address: string
  readonly client: Client
  serving: boolean
}

/** Connects to every address and watches each one's health there, since gRPC for Node has no such watch of its own. */
export function createEndpoints(
  contract: Contract,
  { addresses, tls = null, log = silentLogger, waitMs = 5000 }: EndpointOptions,
): Endpoints {
  if (addresses.length === 0) throw new RangeError(`${contract.shortName} has no address, at least one is needed`)
  const ended = new AbortController()
  const waiting = new Set<() => void>()
  let turn = 0

  const endpoints = addresses.map((address): Endpoint => {
    const target = formatAddress(address)
    const client = new Client(target, channelCredentials(tls), {
      'grpc.max_receive_message_length': maxMessageBytes,
      'grpc.max_send_message_length': maxMessageBytes,
      // Retries are the caller's: it knows what may be repeated.
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': reconnectMs.first,
      'grpc.min_reconnect_backoff_ms': reconnectMs.first,
      'grpc.max_reconnect_backoff_ms': reconnectMs.largest,
      'grpc-node.flow_control_window': flowControlWindow,
      'grpc.keepalive_time_ms': 30_000,
      'grpc.keepalive_timeout_ms': 10_000,
    })
    return { address: target, client, serving: false }
  })

  const setServing = (endpoint: Endpoint, serving: boolean, why: string) => {
    if (endpoint.serving === serving || ended.signal.aborted) return
    endpoint.serving = serving
    log.info({ service: contract.shortName, address: endpoint.address, serving, why }, 'endpoint')
    if (serving) for (const wake of [...waiting]) wake()
  }
  for (const endpoint of endpoints) {
    watchHealth(endpoint.client, contract.name, ended.signal, (serving, why) => setServing(endpoint, serving, why))
  }

  const next = (): Client | null => {
    for (let tried = 0; tried < endpoints.length; tried++) {
      const endpoint = endpoints[turn++ % endpoints.length]!
      if (endpoint.serving) return endpoint.client
    }
    return null
  }

  return {
    async pick(signal) {
      let stop: AbortSignal | undefined
      for (;;) {
        signal?.throwIfAborted()
        if (ended.signal.aborted) throw new MeshError('CANCELLED', `the client of ${contract.shortName} was closed`)
        const client = next()
        if (client) return client
        stop ??= AbortSignal.any([AbortSignal.timeout(waitMs), ended.signal, ...(signal ? [signal] : [])])
        const enough = stop
        if (enough.aborted) throw unavailable(contract, endpoints.length)
        await new Promise<void>((resolve) => {
          const wake = () => {
            waiting.delete(wake)
            enough.removeEventListener('abort', wake)
            resolve()
          }
          waiting.add(wake)
          enough.addEventListener('abort', wake, { once: true })
        })
      }
    },
    get serving() {
      return endpoints.filter(({ serving }) => serving).length
    },
    dispose() {
      ended.abort()
      for (const { client } of endpoints) client.close()
    },
  }
}

const unavailable = ({ shortName }: Contract, addresses: number) =>
  new MeshError('UNAVAILABLE', `${shortName} is not available: none of its ${addresses} addresses serves`)

/** Follows what a server says of a service, and asks again for as long as it is gone. */
function watchHealth(
  client: Client,
  service: string,
  signal: AbortSignal,
  tell: (serving: boolean, why: string) => void,
): void {
  const { path, requestSerialize, responseDeserialize } = healthContract.definition.Watch!
  let failures = 0
  let timer: NodeJS.Timeout | undefined
  let stream: ClientReadableStream<{ status: ServingStatus }> | undefined

  const watch = () => {
    const call = client.makeServerStreamRequest<object, { status: ServingStatus }>(
      path,
      requestSerialize,
      responseDeserialize,
      { service },
      new Metadata({ waitForReady: false }),
    )
    stream = call
    call.on('data', ({ status: health }) => {
      failures = 0
      tell(health === 'SERVING', health)
    })
    // Told of by 'status' too.
    call.on('error', () => undefined)
    call.on('status', ({ code, details }) => {
      if (signal.aborted) return
      // A server without a health service serves, says the specification.
      tell(code === status.UNIMPLEMENTED, details)
      const waitMs = Math.min(reconnectMs.first * 2 ** failures++, reconnectMs.largest)
      timer = setTimeout(watch, waitMs * (0.5 + Math.random())).unref()
    })
  }
  signal.addEventListener('abort', () => {
    clearTimeout(timer)
    stream?.cancel()
  })
  watch()
}
