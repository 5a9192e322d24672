import { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import { type MethodDefinition, type sendUnaryData, status, type UntypedHandleCall } from '@grpc/grpc-js'
import { callMetadata } from './call-metadata.ts'
import type { Contract } from './contracts.ts'
import type { CallLimits, Copy, Requests } from './copy.ts'
import { flowControlWindow } from './grpc-copy.ts'
import { maxMessageBytes } from './grpc-server.ts'
import type { Readiness } from './readiness.ts'

/**
 * Calls between services of one process. They run through the very handlers that gRPC calls, and messages are written
 * and read as for the network: nobody shares memory with whom they call, and a method can't tell who called.
 */
export interface LocalCalls {
  /** Offers a service from now on; returns what ends that. */
  host(service: LocalService): () => void
  copyOf(contract: Contract): Copy
}

export interface LocalService {
  readonly contract: Contract
  readonly handlers: Readonly<Record<string, UntypedHandleCall>>
  readonly readiness: Pick<Readiness, 'ready' | 'onChange'>
  /** Of one incoming message. */
  readonly maxMessageBytes: number
}

export function createLocalCalls(): LocalCalls {
  const hosted = new Map<string, LocalService>()
  const listeners = new Set<() => void>()
  const tellAll = () => {
    for (const listener of listeners) listener()
  }
  return {
    host(service) {
      const { name } = service.contract
      hosted.set(name, service)
      const stop = service.readiness.onChange(tellAll)
      tellAll()
      return () => {
        stop()
        if (hosted.get(name) === service) hosted.delete(name)
        tellAll()
      }
    },
    copyOf({ name, shortName }) {
      const closed = new AbortController()
      return {
        address: 'this process',
        async *call(method, input, limits) {
          const service = hosted.get(name)
          if (!service) throw fault('UNAVAILABLE', `${shortName} is not here`)
          yield* call(service, method, input, limits, closed.signal)
        },
        watch(signal, tell) {
          const look = () => {
            const serving = hosted.get(name)?.readiness.ready ?? false
            tell(serving, serving ? 'SERVING' : 'NOT_SERVING')
          }
          listeners.add(look)
          signal.addEventListener('abort', () => listeners.delete(look))
          look()
        },
        close: () => closed.abort(),
      }
    },
  }
}

type Definition = MethodDefinition<unknown, unknown>

async function* call(
  { contract, handlers, maxMessageBytes: maxRequestBytes }: LocalService,
  method: string,
  input: unknown,
  { deadline, signal }: CallLimits,
  closed: AbortSignal,
): AsyncGenerator<unknown> {
  const definition = contract.definition[method] as Definition
  const answers = new Answers(definition)
  const asRead = (message: unknown) =>
    definition.requestDeserialize(checkSize(definition.requestSerialize(message), maxRequestBytes))
  const surface = definition.requestStream
    ? Readable.from(
        requestsAsRead(input as Requests, asRead, (error) => stop(error)),
        { highWaterMark: 1 },
      )
    : answers
  Object.assign(surface, { metadata: callMetadata() })
  // What a stream of requests is destroyed with is what the call was stopped with.
  if (surface !== answers) surface.on('error', () => undefined)

  let over = false
  const stop = (error: Error) => {
    if (over) return
    over = true
    answers.fail(error)
    surface.emit('cancelled')
  }
  const cancel = () => stop(fault('CANCELLED', 'the call was cancelled'))
  const timer = setTimeout(
    () => stop(fault('DEADLINE_EXCEEDED', 'too late')),
    Math.min(deadline - Date.now(), maxTimerMs),
  )
  signal?.addEventListener('abort', cancel, { once: true })
  closed.addEventListener('abort', cancel, { once: true })
  try {
    if (signal?.aborted || closed.aborted) cancel()
    else if (definition.requestStream) respondTo(surface, answers)
    else {
      answers.request = asRead(input)
      respondTo(answers, answers)
    }
    yield* answers
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', cancel)
    closed.removeEventListener('abort', cancel)
    if (!answers.isOver) cancel()
    if (surface instanceof Readable) surface.destroy()
  }

  function respondTo(surface: EventEmitter, answers: Answers) {
    const handle = handlers[method] as (surface: unknown, respond: sendUnaryData<unknown>) => void
    handle(surface, (error, response) => (error ? answers.fail(error as Error) : answers.endWith(response)))
  }
}

/** What the server writes its answers to, and the caller reads them from: to the server, gRPC's stream of answers. */
class Answers extends EventEmitter {
  request: unknown
  /** Nothing will be added. */
  isOver = false
  readonly #definition: Definition
  readonly #messages: Buffer[] = []
  #bytes = 0
  #error: Error | undefined
  #changed = Promise.withResolvers<void>()

  constructor(definition: Definition) {
    super()
    this.#definition = definition
    this.on('error', (error) => this.fail(error))
  }

  /** False when the writer is to wait for 'drain'. */
  write(message: unknown): boolean {
    if (this.isOver) return true
    const bytes = checkSize(this.#definition.responseSerialize(message), maxMessageBytes)
    this.#messages.push(bytes)
    this.#bytes += bytes.length
    this.#changed.resolve()
    return this.#bytes < flowControlWindow
  }

  end(): void {
    this.isOver = true
    this.#changed.resolve()
  }

  endWith(message: unknown): void {
    try {
      this.write(message)
      this.end()
    } catch (error) {
      this.fail(error as Error)
    }
  }

  /** What was written before is still read. */
  fail(error: Error): void {
    if (this.isOver) return
    this.#error = error
    this.end()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    for (;;) {
      const bytes = this.#messages.shift()
      if (bytes) {
        this.#bytes -= bytes.length
        if (this.#bytes < flowControlWindow) this.emit('drain')
        yield this.#definition.responseDeserialize(bytes)
      } else if (this.#error) {
        throw this.#error
      } else if (this.isOver) {
        return
      } else {
        await this.#changed.promise
        this.#changed = Promise.withResolvers()
      }
    }
  }
}

async function* requestsAsRead(
  requests: Requests,
  asRead: (message: unknown) => unknown,
  stop: (error: Error) => void,
): AsyncGenerator<unknown> {
  try {
    for await (const request of requests()) yield asRead(request)
  } catch (error) {
    stop(isFault(error) ? error : fault('CANCELLED', 'its requests ended early'))
    throw error
  }
}

/** Timers can't wait longer. */
const maxTimerMs = 2 ** 31 - 1

/** An error as gRPC's clients throw it. */
function fault(code: keyof typeof status, details: string): Error {
  return Object.assign(new Error(details), { code: status[code], details })
}

function isFault(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && typeof error.code === 'number'
}

function checkSize(message: Buffer, maxBytes: number): Buffer {
  if (message.length <= maxBytes) return message
  throw fault('RESOURCE_EXHAUSTED', `a message is ${message.length} bytes long, at most ${maxBytes} are taken`)
}
