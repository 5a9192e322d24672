import type { RequestHandler, Response } from 'express'
import type { ExecutionResult } from 'graphql'
import { createHandler } from 'graphql-sse/lib/use/express'
import type { Logger } from '../../services/lib/mesh/log.ts'
import type { Access } from '../access.ts'
import { presentError } from '../errors.ts'
import type { Execution, OperationCall } from '../execution.ts'
import { limits } from '../limits/limits.ts'
import { prepareOperation } from '../prepare.ts'
import type { Supergraph } from '../supergraph.ts'
import { sendProblem } from './problem.ts'
import { goneSignal } from './request.ts'

export interface EventStreamOptions {
  readonly supergraph: Supergraph
  readonly execution: Execution
  readonly access: Access
  readonly log: Logger
}

/** What the library carries from an operation's start to its execution. */
type CallContext = { readonly call: OperationCall }

export interface GraphQLOverEvents {
  readonly handle: RequestHandler
  /** Breaks off all streams: their clients come back, to a server that goes on. */
  dispose(): void
}

/** GraphQL over server-sent events, in distinct connections mode (graphql-sse, PROTOCOL.md); bodies already parsed. */
export function openEventStreams({ supergraph, execution, access, log }: EventStreamOptions): GraphQLOverEvents {
  const open = new Set<Response>()
  const present = (result: ExecutionResult) => ({
    ...result,
    ...(result.errors ? { errors: result.errors.map((error) => presentError(error, log)) } : {}),
  })

  const handler = createHandler<CallContext>({
    // Without tokens there are no streams that outlive their request.
    authenticate: () => null,
    async onSubscribe({ raw, context: { res } }, params) {
      const operation = prepareOperation(supergraph.schema, params)
      if (!('document' in operation)) return one({ errors: operation })
      const { authorization } = raw.headers
      const call: OperationCall = {
        operation,
        variables: params.variables,
        identify: () => access.identify(authorization),
        signal: goneSignal(res),
      }
      const { document } = operation
      return { schema: supergraph.schema, document, operationName: params.operationName, contextValue: { call } }
    },
    validate: () => [],
    execute: ({ contextValue }) => execution.execute(contextValue.call),
    subscribe: ({ contextValue }) => execution.subscribe(contextValue.call),
    async onNext(_, { context: { res } }, result) {
      await written(res)
      return present(result as ExecutionResult) as never
    },
  })

  return {
    async handle(request, response) {
      if (request.method === 'POST' && (!request.is('application/json') || !request.body)) {
        return sendProblem(response, 415, 'the body is no JSON, allowed is an object with query and variables')
      }
      if (open.size >= limits.eventStreams) {
        return sendProblem(response, 503, `${open.size} streams are open, allowed are no more; try again later`)
      }
      open.add(response)
      response.once('close', () => open.delete(response))
      try {
        await access.identify(request.headers.authorization)
        await handler(request, response)
      } catch (error) {
        const { message, extensions } = presentError(error, log)
        const isRefusal = extensions?.code === 'UNAUTHENTICATED'
        if (isRefusal) response.set('www-authenticate', 'Bearer')
        if (response.headersSent) response.destroy()
        else sendProblem(response, isRefusal ? 401 : 503, message)
      }
    },
    dispose() {
      for (const response of open) response.destroy()
    },
  }
}

/**
 * Resolves once everything so far has left for the client: the library queues what a source gives without a bound, so
 * the source waits here. A comment goes along, which readers skip.
 */
function written(response: Response): Promise<void> {
  if (!response.headersSent || response.destroyed) return Promise.resolve()
  return new Promise((resolve) => response.write(':\n\n', () => resolve()))
}

async function* one(result: ExecutionResult): AsyncGenerator<ExecutionResult, void, undefined> {
  yield result
}
