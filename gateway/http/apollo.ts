import { ApolloServer } from '@apollo/server'
import {
  ApolloServerPluginInlineTraceDisabled,
  ApolloServerPluginLandingPageDisabled,
  ApolloServerPluginUsageReportingDisabled,
} from '@apollo/server/plugin/disabled'
import { expressMiddleware } from '@as-integrations/express5'
import type { RequestHandler } from 'express'
import type { Logger } from '../../services/lib/mesh/log.ts'
import type { Access, Caller } from '../access.ts'
import { presentError } from '../errors.ts'
import type { Execution } from '../execution.ts'
import { limits } from '../limits/limits.ts'
import { limitRules } from '../limits/rules.ts'
import type { Supergraph } from '../supergraph.ts'
import { goneSignal } from './request.ts'

export interface ApolloOptions {
  readonly supergraph: Supergraph
  readonly execution: Execution
  readonly access: Access
  readonly log: Logger
}

/** What an operation over HTTP comes with. */
interface HttpContext {
  readonly caller: Caller
  readonly signal: AbortSignal
}

export interface GraphQLOverHttp extends AsyncDisposable {
  readonly handle: RequestHandler
}

/** GraphQL over HTTP (graphql.github.io/graphql-over-http): queries and mutations, one a request, bodies already parsed. */
export async function openApollo({ supergraph, execution, access, log }: ApolloOptions): Promise<GraphQLOverHttp> {
  const server = new ApolloServer<HttpContext>({
    gateway: {
      async load() {
        return {
          async executor({ document, operation, source, request, context }) {
            const { caller, signal } = context as HttpContext
            return execution.execute({
              operation: { document, operation, source },
              variables: request.variables,
              identify: async () => caller,
              signal,
            })
          },
        }
      },
      onSchemaLoadOrUpdate(tell) {
        tell({ apiSchema: supergraph.schema, coreSupergraphSdl: supergraph.sdl })
        return () => undefined
      },
      stop: async () => undefined,
    },
    validationRules: [...limitRules],
    parseOptions: { maxTokens: limits.tokens },
    introspection: true,
    csrfPrevention: true,
    persistedQueries: false,
    allowBatchedHttpRequests: false,
    includeStacktraceInErrorResponses: false,
    stopOnTerminationSignals: false,
    formatError: (_, error) => presentError(error, log),
    logger: log,
    // Nothing is reported to anybody, whatever the environment holds.
    plugins: [
      ApolloServerPluginLandingPageDisabled(),
      ApolloServerPluginUsageReportingDisabled(),
      ApolloServerPluginInlineTraceDisabled(),
    ],
  })
  await server.start()
  const handle = expressMiddleware(server, {
    async context({ req, res }) {
      const signal = goneSignal(res)
      return { caller: await access.identify(req.headers.authorization), signal }
    },
  })
  return { handle, [Symbol.asyncDispose]: () => server.stop() }
}
