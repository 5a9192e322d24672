import {
  GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  getVariableValues,
  type OperationDefinitionNode,
  OperationTypeNode,
  parse,
  specifiedRules,
  validate,
} from 'graphql'
import { type Caller, requireScope } from './access.ts'
import { clientError } from './errors.ts'
import { operationCost } from './limits/cost.ts'
import { limits } from './limits/limits.ts'
import { limitRules, tooMuch } from './limits/rules.ts'
import type { Operation } from './supergraph.ts'

/** An operation as clients send it. */
export interface OperationRequest {
  readonly query?: unknown
  readonly operationName?: unknown
  readonly variables?: unknown
}

/** The operation that is asked for. Throws what the parser says; returns what validation finds. */
export function prepareOperation(
  schema: GraphQLSchema,
  { query, operationName }: OperationRequest,
): Operation | readonly GraphQLError[] {
  if (typeof query !== 'string') return [clientError('BAD_REQUEST', 'query is missing, allowed is a GraphQL document')]
  try {
    const document = parse(query, { maxTokens: limits.tokens })
    const errors = validate(schema, document, [...specifiedRules, ...limitRules])
    if (errors.length > 0) return errors.map((error) => withCode(error, 'GRAPHQL_VALIDATION_FAILED'))
    const name = typeof operationName === 'string' ? operationName : undefined
    const operation = getOperationAST(document, name)
    if (!operation) {
      const shown = name === undefined ? 'missing' : JSON.stringify(name.slice(0, 80))
      const message = `operationName is ${shown}, allowed is the name of an operation in the document`
      return [clientError('OPERATION_RESOLUTION_FAILURE', message)]
    }
    return { document, operation, source: query }
  } catch (error) {
    if (!(error instanceof GraphQLError)) throw error
    return [withCode(error, 'GRAPHQL_PARSE_FAILED')]
  }
}

/**
 * The operation's variables as its definitions say. Throws BAD_USER_INPUT where they are not as they should be,
 * LIMIT_EXCEEDED where too much is asked for, and FORBIDDEN where the caller's key has not the scope.
 */
export function admitOperation(
  schema: GraphQLSchema,
  { document, operation }: Operation,
  variables: unknown,
  caller: Caller,
): Record<string, unknown> {
  const isMutation = operation.operation === OperationTypeNode.MUTATION
  requireScope(caller, isMutation ? 'WRITE' : 'READ', isMutation ? 'mutations' : 'queries and subscriptions')
  const coerced = coerceVariables(schema, operation, variables)
  const cost = operationCost(schema, document, operation, coerced)
  if (cost <= limits.cost) return coerced
  throw tooMuch(`the operation may be answered with ${cost} objects, allowed are ${limits.cost}: ask for shorter pages`)
}

function coerceVariables(schema: GraphQLSchema, operation: OperationDefinitionNode, variables: unknown) {
  const given = (variables ?? {}) as Record<string, unknown>
  const { coerced, errors } = getVariableValues(schema, operation.variableDefinitions ?? [], given, { maxErrors: 5 })
  const [first] = errors ?? []
  if (first) throw withCode(first, 'BAD_USER_INPUT')
  return coerced ?? {}
}

/** Limits keep the code that they have. */
function withCode(error: GraphQLError, code: string): GraphQLError {
  error.extensions.code ??= code
  return error
}
