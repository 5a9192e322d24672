import { randomUUID } from 'node:crypto'
import { GraphQLError, type GraphQLFormattedError } from 'graphql'
import { type Code, MeshError, translateError } from '../services/lib/mesh/errors.ts'
import { callFields, type Logger } from '../services/lib/mesh/log.ts'

/** Codes of errors whose sentence was written for the client. */
const publicCodes: ReadonlySet<unknown> = new Set([
  'BAD_REQUEST',
  'BAD_USER_INPUT',
  'FORBIDDEN',
  'GRAPHQL_PARSE_FAILED',
  'GRAPHQL_VALIDATION_FAILED',
  'LIMIT_EXCEEDED',
  'OPERATION_RESOLUTION_FAILURE',
  'PERSISTED_QUERY_NOT_SUPPORTED',
  'TIMEOUT',
  'UNAUTHENTICATED',
])

/** A code, whether asking again can help, and a sentence where the service's own is not for clients. */
type Presentation = readonly [code: string, retryable: boolean, message?: string]

const presentations: Partial<Record<Code, Presentation>> = {
  INVALID_ARGUMENT: ['BAD_USER_INPUT', false],
  NOT_FOUND: ['NOT_FOUND', false],
  FAILED_PRECONDITION: ['FAILED_PRECONDITION', false],
  RESOURCE_EXHAUSTED: ['LIMIT_EXCEEDED', true],
  UNAVAILABLE: ['SERVICE_UNAVAILABLE', true, 'a service can not be reached at the moment, try again'],
  DEADLINE_EXCEEDED: ['TIMEOUT', true, 'a service took too long, try again'],
  CANCELLED: ['CANCELED', true, 'the operation was canceled'],
}

/** An error that is answered as it stands. */
export function clientError(code: string, message: string, httpStatus?: number): GraphQLError {
  const http = httpStatus === undefined ? {} : { http: { status: httpStatus } }
  return new GraphQLError(message, { extensions: { code, ...http } })
}

/**
 * An error as clients see it: what was written for them, with its code and path; of everything else only an incident
 * id, under which the log has the whole.
 */
export function presentError(error: unknown, log: Logger): GraphQLFormattedError {
  const { path, locations, extensions } = graphqlPart(error)
  const place = { ...(locations ? { locations } : {}), ...(path ? { path } : {}) }
  const cause = rootCause(error)
  if (cause instanceof MeshError) {
    const presentation = presentations[cause.code]
    if (presentation) {
      const [code, retryable, message = cause.message] = presentation
      if (message !== cause.message) log.warn({ ...callFields(), code: cause.code, reason: cause.message }, 'backend')
      return { message, ...place, extensions: { code, retryable } }
    }
  } else if (cause instanceof GraphQLError) {
    // Of all that wrap it, the error itself knows best what it is.
    const code = cause.extensions.code ?? extensions.code
    if (publicCodes.has(code)) return { message: cause.message, ...place, extensions: { code } }
  }
  const incident = randomUUID()
  log.error({ ...callFields(), incident, path, err: cause }, 'unexpected error')
  const message = `something went wrong here; the log has it under ${incident}`
  return { message, ...place, extensions: { code: 'INTERNAL_SERVER_ERROR', incident } }
}

function graphqlPart(error: unknown): Pick<GraphQLFormattedError, 'path' | 'locations'> & {
  extensions: Record<string, unknown>
} {
  if (!(error instanceof GraphQLError)) return { extensions: {} }
  const { path, locations, extensions } = error
  return { ...(path ? { path } : {}), ...(locations ? { locations } : {}), extensions }
}

/** GraphQL and the gateway wrap what was thrown, several times. */
function rootCause(error: unknown): unknown {
  let cause = error
  while (cause instanceof GraphQLError && cause.originalError) cause = cause.originalError
  const isSignal = cause instanceof Error && (cause.name === 'AbortError' || cause.name === 'TimeoutError')
  return isSignal ? translateError(cause, 'gateway') : cause
}
