import { once } from 'node:events'
import { addAbortSignal, type Readable } from 'node:stream'
import {
  type Metadata,
  Server,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { type Address, formatAddress } from './address.ts'
import { readCallMetadata } from './call-metadata.ts'
import { contracts } from './contracts.ts'
import { MeshError, translateError } from './errors.ts'
import { createHealth, healthContract } from './health.ts'
import type { LocalCalls } from './local-calls.ts'
import { type Logger, silentLogger, withCallFields } from './log.ts'
import type { Metrics } from './metrics.ts'
import type { Call, MeshService } from './service.ts'
import { serverCredentials, type TlsIdentity } from './tls.ts'

/** Largest message either side takes: eight decoded previews of 1024² pixels and some. */
export const maxMessageBytes = 32 * 2 ** 20

/** Longest a call may last whatever its caller says. */
const maxCallMs = 4 * 3600 * 1000

/** How long calls that were told to end may take to say so. */
const endTimeoutMs = 1000

export interface MeshServerOptions {
  readonly services: readonly MeshService[]
  /** Where services of this process find these without a network. */
  readonly local?: LocalCalls
  readonly tls?: TlsIdentity | null
  readonly log?: Logger
  readonly metrics?: Metrics | null
  /** Of one incoming message. */
  readonly maxMessageBytes?: number
  readonly maxCallMs?: number
}

export interface MeshServer {
  /** Starts to listen, also at another address; resolves with the real port. Throws one sentence when it can't. */
  listen(address: Address): Promise<Address>
  /**
   * Says NOT_SERVING, takes no new calls, lets those under way finish for at most `timeoutMs`, then ends them with
   * UNAVAILABLE. Calls from this process are taken until `work`, which needs them, has settled. May be called again.
   */
  drain(timeoutMs: number, work?: Promise<unknown>): Promise<void>
  /** Ends everything at once. May be called again. */
  dispose(): Promise<void>
}

/** Hosts services beside health and reflection: each method gets a signal, its log, and errors with the right code. */
export function createMeshServer(options: MeshServerOptions): MeshServer {
  const { services, tls = null, log = silentLogger, metrics = null } = options
  const server = new Server({
    'grpc.max_receive_message_length': options.maxMessageBytes ?? maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.max_concurrent_streams': 1000,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
  })
  const health = createHealth(services)
  const underWay = new Set<Promise<unknown>>()
  const end = new AbortController()
  let draining = false
  let drained = false
  let ending: Promise<void> | undefined

  /** Runs a call to its end, and turns what it throws into a status. */
  const carryOut = async <T>(
    { contract }: MeshService,
    method: string,
    surface: Surface,
    isClosed: () => boolean,
    work: (call: Call) => Promise<T>,
  ): Promise<T> => {
    const isWork = contract !== healthContract
    const started = performance.now()
    const fields = readCallMetadata(surface.metadata)
    const stop = new AbortController()
    const timer = isWork ? setTimeout(() => stop.abort(tooLong), options.maxCallMs ?? maxCallMs) : undefined
    timer?.unref()
    surface.on('cancelled', () => stop.abort(new MeshError('CANCELLED', 'the caller has gone')))
    const call: Call = {
      signal: AbortSignal.any([stop.signal, end.signal]),
      log: log.child({ service: contract.shortName, method, ...fields }),
    }
    const ended = (code: keyof typeof status, details: object) => {
      const elapsedMs = performance.now() - started
      if (isWork) metrics?.called(contract.shortName, method, code, elapsedMs)
      const level = !isWork ? 'debug' : code === 'INTERNAL' ? 'error' : 'info'
      call.log[level]({ code, elapsedMs: Math.round(elapsedMs), ...details }, 'call')
    }
    try {
      if (isClosed() && isWork) throw shuttingDown
      const result = await withCallFields(fields, () => work(call))
      ended('OK', {})
      return result
    } catch (error) {
      // What a call says after it was told to stop is no news; why it was told is.
      const fault = translateError(call.signal.aborted ? call.signal.reason : error, contract.shortName)
      ended(fault.code, fault.code === 'INTERNAL' ? { err: fault.cause ?? fault } : { reason: fault.message })
      throw Object.assign(new Error(fault.message), { code: status[fault.code], details: fault.message })
    } finally {
      clearTimeout(timer)
    }
  }

  const handlerOf = (service: MeshService, name: string, isClosed: () => boolean): UntypedHandleCall => {
    const { requestStream, responseStream } = service.contract.definition[name]!
    const method = service.methods[name] as (input: unknown, call: Call) => unknown
    const run = <T>(surface: Surface, work: (call: Call) => Promise<T>): Promise<T> => {
      const running = carryOut(service, name, surface, isClosed, work)
      if (service !== health) {
        underWay.add(running)
        const forget = () => void underWay.delete(running)
        running.then(forget, forget)
      }
      return running
    }
    const input = (surface: AnyCall, call: Call): unknown =>
      requestStream ? addAbortSignal(call.signal, surface as unknown as Readable) : surface.request
    if (responseStream) {
      return (surface: AnyStream) => {
        run(surface, async (call) => {
          for await (const message of method(input(surface, call), call) as AsyncIterable<unknown>) {
            call.signal.throwIfAborted()
            if (!surface.write(message)) await once(surface, 'drain', { signal: call.signal })
          }
          call.signal.throwIfAborted()
        }).then(
          () => surface.end(),
          (error) => surface.emit('error', error),
        )
      }
    }
    return (surface: AnyUnary, respond: sendUnaryData<unknown>) => {
      run(surface, async (call) => method(input(surface, call), call)).then(
        (response) => respond(null, response),
        (error) => respond(error),
      )
    }
  }

  const handlersOf = (service: MeshService, isClosed: () => boolean) =>
    Object.fromEntries(
      Object.keys(service.contract.definition).map((name) => [name, handlerOf(service, name, isClosed)]),
    )

  for (const service of [...services, health]) {
    server.addService(
      service.contract.definition,
      handlersOf(service, () => draining),
    )
  }
  const maxRequestBytes = options.maxMessageBytes ?? maxMessageBytes
  const withdrawals = services.map((service) =>
    options.local?.host({
      ...service,
      handlers: handlersOf(service, () => drained),
      maxMessageBytes: maxRequestBytes,
    }),
  )
  const closeHere = () => {
    drained = true
    for (const withdraw of withdrawals) withdraw?.()
  }
  new ReflectionService(contracts, { services: services.map(({ contract }) => contract.name) }).addToServer(server)

  const finish = (): Promise<void> => {
    ending ??= (async () => {
      draining = true
      closeHere()
      end.abort(shuttingDown)
      const closed = new Promise<void>((resolve) => server.tryShutdown(() => resolve()))
      await Promise.race([closed, timeout(endTimeoutMs)])
      server.forceShutdown()
      health.dispose()
    })()
    return ending
  }

  return {
    async listen(address) {
      const port = await new Promise<number>((resolve, reject) => {
        server.bindAsync(formatAddress(address), serverCredentials(tls), (error, bound) => {
          if (error) reject(new Error(`${formatAddress(address)} can't be listened at: ${error.message}`))
          else resolve(bound)
        })
      })
      return { host: address.host, port }
    },
    async drain(timeoutMs, work) {
      if (!draining) {
        draining = true
        health.drain()
        const enough = timeout(timeoutMs)
        if (work) await Promise.allSettled([work])
        closeHere()
        await Promise.race([Promise.allSettled(underWay), enough])
      }
      await finish()
    },
    dispose: finish,
  }
}

type AnyUnary = ServerUnaryCall<unknown, unknown> | ServerReadableStream<unknown, unknown>
type AnyStream = ServerWritableStream<unknown, unknown> | ServerDuplexStream<unknown, unknown>
type AnyCall = Surface & { readonly request?: unknown }

/** What all kinds of calls have. */
interface Surface {
  readonly metadata: Metadata
  on(event: 'cancelled', listener: () => void): unknown
}

const shuttingDown = new MeshError('UNAVAILABLE', 'the server is shutting down')
const tooLong = new MeshError('DEADLINE_EXCEEDED', 'the call took longer than the server allows')

function timeout(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}
