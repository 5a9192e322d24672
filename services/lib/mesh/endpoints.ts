import type { Address } from './address.ts'
import type { Contract } from './contracts.ts'
import type { Copy } from './copy.ts'
import { MeshError } from './errors.ts'
import { createGrpcCopy } from './grpc-copy.ts'
import type { LocalCalls } from './local-calls.ts'
import { type Logger, silentLogger } from './log.ts'
import type { TlsIdentity } from './tls.ts'

/** The copies of one service, and which of them serve now. */
export interface Endpoints {
  /** The next serving copy in turn; waits for one until the signal is aborted or `waitMs` have passed, then UNAVAILABLE. */
  pick(signal?: AbortSignal): Promise<Copy>
  /** How many copies serve now. */
  readonly serving: number
  dispose(): void
}

export interface EndpointOptions {
  /** At least one, where the service is not of this process. */
  readonly addresses?: readonly Address[]
  /** Of the process that hosts the service itself. */
  readonly local?: LocalCalls
  readonly tls?: TlsIdentity | null
  readonly log?: Logger
  /** Longest wait for a copy that serves. */
  readonly waitMs?: number
}

interface Endpoint {
  readonly copy: Copy
  serving: boolean
}

/** Reaches every copy and watches each one's health there, since gRPC for Node has no such watch of its own. */
export function createEndpoints(
  contract: Contract,
  { addresses = [], local, tls = null, log = silentLogger, waitMs = 5000 }: EndpointOptions,
): Endpoints {
  const copies = addresses.map((address) => createGrpcCopy(contract, address, tls))
  if (local) copies.push(local.copyOf(contract))
  if (copies.length === 0) throw new RangeError(`${contract.shortName} has no address, at least one is needed`)
  const ended = new AbortController()
  const waiting = new Set<() => void>()
  let turn = 0
  const endpoints = copies.map((copy): Endpoint => ({ copy, serving: false }))

  const setServing = (endpoint: Endpoint, serving: boolean, why: string) => {
    if (endpoint.serving === serving || ended.signal.aborted) return
    endpoint.serving = serving
    log.info({ service: contract.shortName, address: endpoint.copy.address, serving, why }, 'endpoint')
    if (serving) for (const wake of [...waiting]) wake()
  }
  for (const endpoint of endpoints) {
    endpoint.copy.watch(ended.signal, (serving, why) => setServing(endpoint, serving, why))
  }

  const next = (): Copy | null => {
    for (let tried = 0; tried < endpoints.length; tried++) {
      const endpoint = endpoints[turn++ % endpoints.length]!
      if (endpoint.serving) return endpoint.copy
    }
    return null
  }

  return {
    async pick(signal) {
      let stop: AbortSignal | undefined
      for (;;) {
        signal?.throwIfAborted()
        if (ended.signal.aborted) throw new MeshError('CANCELLED', `the client of ${contract.shortName} was closed`)
        const copy = next()
        if (copy) return copy
        stop ??= AbortSignal.any([AbortSignal.timeout(waitMs), ended.signal, ...(signal ? [signal] : [])])
        const enough = stop
        if (enough.aborted) throw unavailable(contract, endpoints.length)
        await new Promise<void>((resolve) => {
          const wake = () => {
            clearTimeout(alive)
            waiting.delete(wake)
            enough.removeEventListener('abort', wake)
            resolve()
          }
          // The signals' own timers would let a process end that has nothing else to do.
          const alive = setTimeout(wake, waitMs)
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
      for (const copy of copies) copy.close()
    },
  }
}

const unavailable = ({ shortName }: Contract, addresses: number) =>
  new MeshError('UNAVAILABLE', `${shortName} is not available: none of its ${addresses} addresses serves`)
