import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { operationFromDocument, Supergraph as SupergraphOf } from '@apollo/federation-internals'
import { executeQueryPlan, type GraphQLDataSource } from '@apollo/gateway'
import { type QueryPlan, QueryPlanner } from '@apollo/query-planner'
import {
  type DocumentNode,
  type ExecutionResult,
  type FragmentDefinitionNode,
  GraphQLScalarType,
  type GraphQLSchema,
  Kind,
  type OperationDefinitionNode,
} from 'graphql'
import { seedScalar } from '../services/generation/graphql/scalars.ts'
import type { Logger } from '../services/lib/mesh/log.ts'
import { inProcess } from './data-source.ts'
import { createLru } from './lru.ts'
import { subgraphs } from './subgraphs.ts'

/** An operation and the document that it was picked from. */
export interface Operation {
  readonly document: DocumentNode
  readonly operation: OperationDefinitionNode
  /** The document as it was sent: plans are kept by it. */
  readonly source: string
}

export interface PlanRequest {
  readonly variables: Readonly<Record<string, unknown>>
  readonly context: object
}

/** One schema for everybody outside, run over the subgraphs of this process. */
export interface Supergraph {
  /** As it is committed. */
  readonly sdl: string
  /** What clients see of it. */
  readonly schema: GraphQLSchema
  plan(operation: Operation): QueryPlan
  /**
   * Runs a plan of fetches, each from the subgraph it names or from one of `sources`. What goes wrong in a subgraph is
   * in the result.
   */
  run(
    plan: QueryPlan,
    operation: Operation,
    request: PlanRequest,
    sources?: Readonly<Record<string, GraphQLDataSource>>,
  ): Promise<ExecutionResult>
}

export const supergraphPath: string = join(import.meta.dirname, 'supergraph.graphql')

/** Distinct operations whose plans are kept, and the longest text of one: programs send the same few. */
const keptPlans = 1000
const longestKept = 16 * 1024

/** Loads the committed supergraph. It is a part of the program: nothing is fetched, polled or reported. */
export function loadSupergraph(log: Logger): Supergraph {
  const sdl = readFileSync(supergraphPath, 'utf8')
  const supergraph = SupergraphOf.build(sdl)
  const supergraphSchema = supergraph.schema.toGraphQLJSSchema()
  const apiSchema = supergraph.apiSchema()
  const schema = apiSchema.toGraphQLJSSchema()
  checkScalars(schema)
  const planner = new QueryPlanner(supergraph, { exposeDocumentNodeInFetchNode: true })
  const plans = createLru<QueryPlan>(keptPlans)
  const services = Object.fromEntries(subgraphs.map((subgraph) => [subgraph.name, inProcess(subgraph.schema)]))
  const planLog = { debug: ignore, info: ignore, warn: (text: string) => log.warn(text), error: log.error.bind(log) }

  return {
    sdl,
    schema,
    plan({ document, operation, source }) {
      const operationName = operation.name?.value
      const key = `${operationName ?? ''} ${source}`
      const known = plans.get(key)
      if (known) return known
      const plan = planner.buildQueryPlan(
        operationFromDocument(apiSchema, document, operationName === undefined ? {} : { operationName }),
      )
      if (source.length <= longestKept) plans.set(key, plan)
      return plan
    },
    async run(plan, { document, operation }, { variables, context }, sources = {}) {
      const fragments = document.definitions.filter(isFragment).map((fragment) => [fragment.name.value, fragment])
      const requestContext = { logger: planLog, request: { variables }, context, metrics: {} }
      const result = await executeQueryPlan(
        plan,
        { ...services, ...sources },
        requestContext as unknown as Parameters<typeof executeQueryPlan>[2],
        { schema, operation, fragments: Object.fromEntries(fragments) },
        supergraphSchema,
        apiSchema,
      )
      return result as ExecutionResult
    },
  }
}

const ignore = () => undefined

const isFragment = (definition: DocumentNode['definitions'][number]): definition is FragmentDefinitionNode =>
  definition.kind === Kind.FRAGMENT_DEFINITION

/** A supergraph takes any value for a scalar of its own: with this a wrong seed is refused before anything runs. */
function checkScalars(schema: GraphQLSchema): void {
  const seed = schema.getType('Seed')
  if (!(seed instanceof GraphQLScalarType)) throw new TypeError('the supergraph has no scalar Seed')
  seed.parseValue = seedScalar.parseValue
  seed.parseLiteral = seedScalar.parseLiteral
}
