import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { type GraphQLSchema, parse } from 'graphql'
import type { Finding__Output as Finding } from '../lib/mesh/generated/moma/safety/v1/Finding.ts'
import type { Verdict__Output as Verdict } from '../lib/mesh/generated/moma/safety/v1/Verdict.ts'
import { shortest } from '../lib/mesh/single-precision.ts'

/** A subject or picture with the verdict that was recorded when it was judged; it is shown, never judged again. */
interface Judged {
  readonly recordedVerdict?: Verdict | null
}

const safety = ({ recordedVerdict }: Judged) => recordedVerdict ?? null

const resolvers = {
  Subject: { safety },
  GeneratedImage: { safety },
  SafetyReview: {
    decision: ({ decision }: Verdict) => decision.slice('DECISION_'.length),
  },
  SafetyFinding: {
    stage: ({ stage }: Finding) => stage.slice('STAGE_'.length),
    score: ({ score }: Finding) => shortest(score),
    threshold: ({ threshold }: Finding) => shortest(threshold),
  },
}

export const typeDefs: string = readFileSync(join(import.meta.dirname, 'schema.graphql'), 'utf8')

/** What the safety service adds to the supergraph. */
export const schema: GraphQLSchema = buildSubgraphSchema({ typeDefs: parse(typeDefs), resolvers })
