import { type ExecutionResult, GraphQLError, OperationTypeNode } from 'graphql'
import { MeshError } from '../services/lib/mesh/errors.ts'
import type { Caller } from './access.ts'
import { type ContextGround, createContext } from './context.ts'
import { clientError } from './errors.ts'
import { limits } from './limits/limits.ts'
import type { GatewayMetrics, Outcome } from './metrics.ts'
import { admitOperation } from './prepare.ts'
import { subscribe } from './subscribe.ts'
import type { Operation, Supergraph } from './supergraph.ts'

/** A valid operation that somebody asks for. */
export interface OperationCall {
  readonly operation: Operation
  /** As they were sent. */
  readonly variables: unknown
  /** Throws when the caller's key does not work (any more). */
  identify(): Promise<Caller>
  /** Aborted when nobody waits for the result any more. */
  readonly signal: AbortSignal
}

/** Carries out operations, the same way over every transport. Errors in results are as they were thrown. */
export interface Execution {
  /** A query or mutation. Refused ones have no `data` in their result. */
  execute(call: OperationCall): Promise<ExecutionResult>
  /**
   * A subscription; a failure of its source is its last result. Returning ends it at once, even while it waits for an
   * event. A key that is revoked ends it at the next event.
   */
  subscribe(call: OperationCall): AsyncGenerator<ExecutionResult, void, undefined>
}

export interface ExecutionOptions extends ContextGround {
  readonly supergraph: Supergraph
  readonly metrics: GatewayMetrics
}

export function createExecution({ supergraph, metrics, ...ground }: ExecutionOptions): Execution {
  const admit = async ({ operation, variables, identify }: OperationCall) => {
    const caller = await identify()
    return { caller, variables: admitOperation(supergraph.schema, operation, variables, caller) }
  }

  const execute = async (call: OperationCall): Promise<ExecutionResult> => {
    const { caller, variables } = await admit(call)
    const isMutation = call.operation.operation.operation === OperationTypeNode.MUTATION
    const allowedMs = limits.operationMs[isMutation ? 'mutation' : 'query']
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(tooLate(allowedMs)), allowedMs)
    try {
      const context = createContext(ground, caller.tenant, AbortSignal.any([call.signal, late.signal]))
      return await supergraph.run(supergraph.plan(call.operation), call.operation, { variables, context })
    } finally {
      clearTimeout(timer)
    }
  }

  const events = async function* (call: OperationCall): AsyncGenerator<ExecutionResult, void, undefined> {
    let outcome: Outcome = 'refused'
    metrics.subscriptions(1)
    const started = performance.now()
    try {
      const { variables } = await admit(call)
      outcome = 'canceled'
      const context = async () => createContext(ground, (await call.identify()).tenant, call.signal)
      for await (const result of subscribe(supergraph, { operation: call.operation, variables, context })) {
        metrics.event()
        yield result
      }
      outcome = 'ok'
    } catch (error) {
      if (call.signal.aborted) return
      if (outcome !== 'refused') outcome = 'errors'
      yield failed(error)
    } finally {
      metrics.subscriptions(-1)
      metrics.operated('subscription', outcome, performance.now() - started)
    }
  }

  return {
    async execute(call) {
      const { operation: type } = call.operation.operation
      if (type === OperationTypeNode.SUBSCRIPTION) {
        const message = 'subscriptions go over WebSocket at this address, or over server-sent events at its /stream'
        return failed(clientError('BAD_REQUEST', message, 400))
      }
      const started = performance.now()
      const result = await execute(call).catch(failed)
      const outcome = !result.errors ? 'ok' : 'data' in result ? 'errors' : 'refused'
      metrics.operated(type, outcome, performance.now() - started)
      return result
    },
    subscribe(call) {
      const stop = new AbortController()
      const signal = AbortSignal.any([call.signal, stop.signal])
      return stoppable(events({ ...call, signal }), stop)
    },
  }
}

const tooLate = (allowedMs: number) =>
  new MeshError('DEADLINE_EXCEEDED', `the operation took longer than ${allowedMs} ms`)

/** An async generator that waits can't be returned: stopping it first wakes it. */
function stoppable<T>(
  generator: AsyncGenerator<T, void, undefined>,
  stop: AbortController,
): AsyncGenerator<T, void, undefined> {
  return {
    next: () => generator.next(),
    return(value) {
      stop.abort()
      return generator.return(value)
    },
    throw(error) {
      stop.abort()
      return generator.throw(error)
    },
    [Symbol.asyncIterator]() {
      return this
    },
    async [Symbol.asyncDispose]() {
      await this.return()
    },
  }
}

function failed(error: unknown): ExecutionResult {
  if (error instanceof GraphQLError) return { errors: [error] }
  const originalError = error instanceof Error ? error : new Error(String(error))
  return { errors: [new GraphQLError(originalError.message, { originalError })] }
}
