import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSubgraphSchema } from '@apollo/subgraph'
import { type GraphQLSchema, parse } from 'graphql'
import type { Finding__Output as Finding } from '../lib/mesh/generated/moma/safety/v1/Finding.ts'
import type { Verdict__Output as Verdict } from '../lib/mesh/generated/moma/safety/v1/Verdict.ts'
import { rounded } from './verdict-message.ts'

/** A subject, generation or picture with the verdict that was recorded when it was judged; it is shown, never judged again. */
interface Judged {
  readonly recordedVerdict?: Verdict | null
}

const safety = ({ recordedVerdict }: Judged) => recordedVerdict ?? null

const resolvers = {
  Subject: { safety },
  Generation: { safety },
  GeneratedImage: { safety },
  SafetyReview: {
    decision: ({ decision }: Verdict) => decision.slice('DECISION_'.length),
  },
  SafetyFinding: {
    stage: ({ stage }: Finding) => stage.slice('STAGE_'.length),
    score: (finding: Finding) => rounded(finding).score,
    threshold: (finding: Finding) => rounded(finding).threshold,
    region: (finding: Finding) => rounded(finding).region,
  },
}

export const typeDefs: string = readFileSync(join(import.meta.dirname, 'schema.graphql'), 'utf8')

/** What the safety service adds to the supergraph. */
export const schema: GraphQLSchema = buildSubgraphSchema({ typeDefs: parse(typeDefs), resolvers })
