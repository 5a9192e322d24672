import { GraphQLError, Kind, type ValueNode } from 'graphql'
import type { Timestamp__Output as Timestamp } from '../../lib/mesh/generated/google/protobuf/Timestamp.ts'

/** Largest first seed: image k takes seed + k, which must stay exact in a JSON number for all 64. */
export const largestSeed = 2 ** 53 - 66

export const dateTimeScalar = {
  serialize: (value: unknown) => value,
}

/** A whole number from 0 to 2^53 - 66 on its way in; on its way out it is what the service said. */
export const seedScalar = {
  serialize: (value: unknown) => value,
  parseValue: (value: unknown) => checkSeed(value, JSON.stringify(value)),
  parseLiteral: (node: ValueNode) => {
    const text = 'value' in node ? String(node.value) : node.kind
    return checkSeed(node.kind === Kind.INT ? Number(node.value) : undefined, text, node)
  },
}

function checkSeed(value: unknown, shown: string, node?: ValueNode): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= largestSeed) return value
  throw new GraphQLError(`seed is ${shown.slice(0, 80)}, allowed is a whole number from 0 to ${largestSeed}`, {
    ...(node ? { nodes: node } : {}),
    extensions: { code: 'BAD_USER_INPUT' },
  })
}

/** RFC 3339 in UTC with milliseconds; null where there is none. */
export function fromTimestamp(timestamp: Timestamp | null | undefined): string | null {
  if (!timestamp) return null
  return new Date(Number(timestamp.seconds) * 1000 + Math.floor(timestamp.nanos / 1e6)).toISOString()
}
