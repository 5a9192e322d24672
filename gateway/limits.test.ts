import { createClient as createSseClient } from 'graphql-sse'
import { createClient } from 'graphql-ws'
import { WebSocket } from 'ws'
import { openTestGateway, type TestGateway } from './test-gateway.ts'

// What one operation may ask for: the same over every transport, and refused before anything is asked of a service.

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway.dispose())

interface Refusal {
  readonly message: string
  readonly extensions?: Record<string, unknown>
}
type Ask = (query: string, variables?: Record<string, unknown>) => Promise<readonly Refusal[]>

/** The errors of an iteration, whether they came as a result or as the protocol's own message. */
async function errorsOf(results: AsyncIterable<{ errors?: readonly Refusal[] }>): Promise<readonly Refusal[]> {
  try {
    for await (const { errors } of results) return errors ?? []
    return []
  } catch (errors) {
    return errors as readonly Refusal[]
  }
}

const transports: [string, Ask][] = [
  [
    'HTTP',
    async (query, variables) => {
      const { status, data, errors } = await gateway.ask(query, variables)
      expect({ status, data }).toEqual({ status: 400, data: undefined })
      return errors!
    },
  ],
  [
    'WebSocket',
    async (query, variables = {}) => {
      const client = createClient({
        url: `${gateway.url.replace('http', 'ws')}/graphql`,
        webSocketImpl: WebSocket,
        retryAttempts: 0,
      })
      const errors = await errorsOf(client.iterate({ query, variables }) as never)
      await client.dispose()
      return errors
    },
  ],
  [
    'server-sent events',
    async (query, variables = {}) => {
      const client = createSseClient({ url: `${gateway.url}/graphql/stream`, retryAttempts: 0 })
      const errors = await errorsOf(client.iterate({ query, variables }) as never)
      client.dispose()
      return errors
    },
  ],
]

const repeat = (count: number, text: (k: number) => string) =>
  Array.from({ length: count }, (_, k) => text(k)).join(' ')
const deep = 'subject { generations(first: 1) { nodes { '.repeat(4)
const cases: [string, string, Record<string, unknown>, string, string][] = [
  [
    'a giant document',
    `{ ${repeat(3000, () => 'capabilities { bundle }')} }`,
    {},
    'contains more that 2000 tokens',
    'GRAPHQL_PARSE_FAILED',
  ],
  [
    'a thousand aliases',
    `{ ${repeat(600, (k) => `a${k}:__typename`)} }`,
    {},
    'has 600 aliases, allowed are 30',
    'LIMIT_EXCEEDED',
  ],
  [
    'depth',
    `{ generation(id: 1) { ${deep} id ${'}'.repeat(12)} } }`,
    {},
    'is 14 fields deep, allowed are 12',
    'LIMIT_EXCEEDED',
  ],
  [
    'depth in fragments',
    `{ ...A } fragment A on Query { generation(id: 1) { ...B } } fragment B on Generation { ${deep} id ${'}'.repeat(12)} }`,
    {},
    'is 14 fields deep',
    'LIMIT_EXCEEDED',
  ],
  [
    'root fields',
    `{ ...A ${repeat(11, () => '__typename')} } fragment A on Query { ${repeat(10, () => '__typename')} }`,
    {},
    'has 21 root fields, allowed are 20',
    'LIMIT_EXCEEDED',
  ],
  [
    'fields in fragments',
    `{ ${repeat(8, (k) => `a${k}: generation(id: 1) { ...A }`)} }
      fragment A on Generation { a: subject { ...B } b: subject { ...B } c: subject { ...B } }
      fragment B on Subject { ${repeat(21, () => 'label')} }`,
    {},
    'has 536 fields, allowed are 500',
    'LIMIT_EXCEEDED',
  ],
  [
    'directives',
    `{ capabilities { bundle ${repeat(51, () => '@skip(if: false)')} } }`,
    {},
    'has 51 directives, allowed are 50',
    'LIMIT_EXCEEDED',
  ],
  [
    'cost',
    'query ($n: Int) { subjects(first: $n) { nodes { generations(first: $n) { nodes { id } } } } }',
    { n: 60 },
    'may be answered with 7320 objects, allowed are 5000',
    'LIMIT_EXCEEDED',
  ],
  [
    'fragments that spread themselves',
    '{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }',
    {},
    'Cannot spread fragment "A" within itself',
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'an introspection that goes round',
    `{ __schema { types { ${'fields { type { '.repeat(4)} name ${'} }'.repeat(4)} } } }`,
    {},
    'Maximum introspection depth exceeded',
    'GRAPHQL_VALIDATION_FAILED',
  ],
  [
    'a whole schema many times',
    `{ ${repeat(6, (k) => `s${k}: __schema { types { name } }`)} }`,
    {},
    'may be answered with 6000 objects',
    'LIMIT_EXCEEDED',
  ],
]

describe.each(transports)('%s', (_, ask) => {
  test.each(cases)('%s', async (__, query, variables, message, code) => {
    const before = { ...gateway.generation.calls }
    const errors = await ask(query, variables)
    const found = errors.find((error) => error.message.includes(message))
    expect(errors.map((error) => error.message)).toContain(found?.message)
    expect(found!.extensions!.code).toBe(code)
    expect({ ...gateway.generation.calls, ListApiKeys: 0 }).toEqual({ ...before, ListApiKeys: 0 })
  })

  test('what tools ask for is within the limits', async () => {
    const { getIntrospectionQuery } = await import('graphql')
    if (_ === 'HTTP') expect((await gateway.ask(getIntrospectionQuery())).status).toBe(200)
    else expect(await ask(getIntrospectionQuery())).toEqual([])
  })
})

test('a body that is too large is not read to its end', async () => {
  const response = await fetch(`${gateway.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: '{ __typename }', variables: { filler: 'x'.repeat(300_000) } }),
  })
  expect(response.status).toBe(413)
  expect(response.headers.get('content-type')).toContain('application/problem+json')
  expect(await response.json()).toMatchObject({
    status: 413,
    detail: 'the body is too large, allowed are 262144 bytes',
  })
})

test('operations are asked one by one', async () => {
  const response = await fetch(`${gateway.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([{ query: '{ __typename }' }, { query: '{ __typename }' }]),
  })
  expect(response.status).toBe(400)
})
