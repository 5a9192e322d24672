import { GraphQLError } from 'graphql'

/** Most items of a page. */
export const largestPage = 100

/** What a list is asked for with; cursors are the service's own page tokens. */
export interface PageRequest {
  readonly pageSize: number
  readonly pageToken: string
}

/** Checks `first` (1 to 100). Throws a GraphQLError that says so. */
export function pageRequest(first: number | null | undefined, after: string | null | undefined): PageRequest {
  const pageSize = first ?? 20
  if (pageSize >= 1 && pageSize <= largestPage) return { pageSize, pageToken: after ?? '' }
  throw new GraphQLError(`first is ${pageSize}, allowed is a whole number from 1 to ${largestPage}`, {
    extensions: { code: 'BAD_USER_INPUT' },
  })
}

/** A page as a Relay connection (relay.dev/graphql/connections.htm); `page.pageTokens[k]` belongs to `nodes[k]`. */
export function connection<T>(
  nodes: readonly T[],
  page: { readonly pageTokens: readonly string[]; readonly nextPageToken: string },
  { pageToken }: PageRequest,
) {
  return {
    nodes,
    edges: nodes.map((node, index) => ({ node, cursor: page.pageTokens[index] })),
    pageInfo: {
      hasNextPage: page.nextPageToken !== '',
      hasPreviousPage: pageToken !== '',
      startCursor: page.pageTokens[0] ?? null,
      endCursor: page.pageTokens.at(-1) ?? null,
    },
  }
}
