import type { GraphQLSchema } from 'graphql'
import * as generation from '../services/generation/subgraph.ts'
import * as safety from '../services/safety/subgraph.ts'

/** A part of the supergraph and its resolvers, which run in the gateway's process. */
export interface Subgraph {
  readonly name: string
  /** The schema as its service writes it. */
  readonly typeDefs: string
  readonly schema: GraphQLSchema
}

export const subgraphs: readonly Subgraph[] = [
  { name: 'generation', typeDefs: generation.typeDefs, schema: generation.schema },
  { name: 'safety', typeDefs: safety.typeDefs, schema: safety.schema },
]
