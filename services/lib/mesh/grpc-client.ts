import { setTimeout as sleep } from 'node:timers/promises'
import type { ServiceDefinition, ServiceError } from '@grpc/grpc-js'
import { type Contract, isIdempotent } from './contracts.ts'
import { createEndpoints, type EndpointOptions } from './endpoints.ts'
import { codeOf, MeshError } from './errors.ts'

/** How often a call that found nobody is tried again, and how long is waited in between. */
export interface RetryOptions {
  readonly attempts: number
  /** Wait before the second attempt, doubled for each one after it; a random share of it is waited. */
  readonly firstMs: number
  readonly largestMs: number
}

const defaultRetry: RetryOptions = { attempts: 4, firstMs: 100, largestMs: 2000 }

export interface MeshClientOptions extends EndpointOptions {
  /** Of a whole call with its retries and its waits for a copy that serves, where a method has none of its own. */
  readonly deadlineMs: number
  readonly deadlinesMs?: Readonly<Record<string, number>>
  /** Of every try, from when a copy has been picked; as long as the whole call may take if not said. */
  readonly answerMs?: number
  readonly retry?: RetryOptions
}

type Input<Definition, Name extends keyof Definition> = Definition[Name] extends {
  requestSerialize: (value: infer Request) => Buffer
}
  ? Request
  : never
type Output<Definition, Name extends keyof Definition> = Definition[Name] extends {
  responseDeserialize: (bytes: Buffer) => infer Response
}
  ? Response
  : never
type NameOf<Definition> = keyof {
  [Name in keyof Definition as string extends Name ? never : number extends Name ? never : Name]: true
} &
  string

/**
 * Calls to one service at several addresses, in turn, to those that serve. Calls that may be repeated are, on
 * UNAVAILABLE, while nothing of their answer was handed on. Everything throws a MeshError, or the signal's reason.
 */
export interface MeshClient<Definition> {
  unary<Name extends NameOf<Definition>>(
    method: Name,
    request: Input<Definition, Name>,
    signal?: AbortSignal,
  ): Promise<Output<Definition, Name>>
  /** `requests` makes the stream anew for every attempt; what it throws ends the call with CANCELLED. */
  clientStream<Name extends NameOf<Definition>>(
    method: Name,
    requests: () => Iterable<Input<Definition, Name>> | AsyncIterable<Input<Definition, Name>>,
    signal?: AbortSignal,
  ): Promise<Output<Definition, Name>>
  /** Leaving the loop cancels the call; a slow consumer slows the server. */
  serverStream<Name extends NameOf<Definition>>(
    method: Name,
    request: Input<Definition, Name>,
    signal?: AbortSignal,
  ): AsyncGenerator<Output<Definition, Name>>
  /** How many addresses serve now. */
  readonly serving: number
  /** Ends all calls. May be called again. */
  dispose(): void
}

export function createMeshClient<Definition extends ServiceDefinition>(
  contract: Contract<Definition>,
  options: MeshClientOptions,
): MeshClient<Definition> {
  const { deadlineMs, deadlinesMs = {}, answerMs = Number.POSITIVE_INFINITY, retry = defaultRetry } = options
  const endpoints = createEndpoints(contract, options)
  const deadlineOf = (method: string) => Date.now() + (deadlinesMs[method] ?? deadlineMs)

  /** Tries until something is handed on, or nothing is left to try. */
  const attempt = async function* (method: string, input: unknown, signal: AbortSignal | undefined) {
    const deadline = deadlineOf(method)
    const attempts = isIdempotent(contract, method) ? retry.attempts : 1
    for (let failures = 0; ; ) {
      const copy = await endpoints.pick(signal)
      const enough = Math.min(deadline, Date.now() + answerMs)
      let handedOn = false
      try {
        for await (const item of copy.call(method, input, { deadline: enough, signal })) {
          handedOn = true
          yield item
        }
        return
      } catch (error) {
        signal?.throwIfAborted()
        const fault = asMeshError(error, contract)
        if (fault.code !== 'UNAVAILABLE' || handedOn || ++failures >= attempts || Date.now() >= deadline) throw fault
        const waitMs = Math.min(retry.firstMs * 2 ** (failures - 1), retry.largestMs, deadline - Date.now())
        await sleep(waitMs * Math.random(), undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
      }
    }
  }
  const only = async (answers: AsyncIterable<unknown>): Promise<unknown> => {
    for await (const answer of answers) return answer
    throw new MeshError('INTERNAL', `${contract.shortName} answered nothing`)
  }

  // The contract says what the answers are.
  return {
    unary: (method, request, signal) => only(attempt(method, request, signal)) as Promise<never>,
    clientStream: (method, requests, signal) => only(attempt(method, requests, signal)) as Promise<never>,
    serverStream: (method, request, signal) => attempt(method, request, signal) as AsyncGenerator<never>,
    get serving() {
      return endpoints.serving
    },
    dispose: () => endpoints.dispose(),
  }
}

function asMeshError(error: unknown, { shortName }: Contract): MeshError {
  if (error instanceof MeshError) return error
  const { code, details } = error as Partial<ServiceError>
  if (typeof code !== 'number') return new MeshError('INTERNAL', `${shortName} could not be asked`, error)
  const name = codeOf(code)
  // gRPC's own words for these name addresses and sockets.
  if (name === 'UNAVAILABLE' && !details?.startsWith(shortName) && !details?.startsWith('the server'))
    return new MeshError(name, `${shortName} can't be reached`, error)
  if (name === 'DEADLINE_EXCEEDED') return new MeshError(name, `${shortName} took too long`, error)
  return new MeshError(name, details ?? `${shortName} failed`, error)
}
