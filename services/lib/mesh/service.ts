import type {
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
} from '@grpc/grpc-js'
import type { Logger } from 'pino'
import type { Contract } from './contracts.ts'
import type { Readiness } from './readiness.ts'

/** What a method knows of the call beside its messages. */
export interface Call {
  /** Aborted when the caller cancels or goes away, at the call's deadline, and when the server ends. */
  readonly signal: AbortSignal
  /** Says which call, method and generation its lines belong to. */
  readonly log: Logger
}

/** Methods as plain functions of messages: the server makes gRPC's handlers of them. `Handlers` are the generated ones. */
export type Methods<Handlers> = {
  readonly [Name in keyof Handlers as string extends Name ? never : number extends Name ? never : Name]: Method<
    Handlers[Name]
  >
}

type Method<Handler> =
  Handler extends handleUnaryCall<infer Request, infer Response>
    ? (request: Request, call: Call) => Promise<Response>
    : Handler extends handleClientStreamingCall<infer Request, infer Response>
      ? (requests: AsyncIterable<Request>, call: Call) => Promise<Response>
      : Handler extends handleServerStreamingCall<infer Request, infer Response>
        ? (request: Request, call: Call) => AsyncIterable<Response>
        : Handler extends handleBidiStreamingCall<infer Request, infer Response>
          ? (requests: AsyncIterable<Request>, call: Call) => AsyncIterable<Response>
          : never

/** A service that a server can host, alone or beside others. */
export interface MeshService {
  readonly contract: Contract
  /** By the names of the contract. */
  readonly methods: Readonly<Record<string, unknown>>
  /** What the health service says of it. */
  readonly readiness: Readiness
}

/** A service whose methods have the types of its contract. */
export function meshService<Handlers>(
  contract: Contract,
  methods: Methods<Handlers>,
  readiness: Readiness,
): MeshService {
  const missing = Object.keys(contract.definition).find((name) => !Object.hasOwn(methods, name))
  if (missing !== undefined) throw new TypeError(`${contract.name} has no method ${missing}`)
  return { contract, methods: methods as Readonly<Record<string, unknown>>, readiness }
}
