import { setTimeout as sleep } from 'node:timers/promises'
import { createClient as createSseClient } from 'graphql-sse'
import { type Client, createClient } from 'graphql-ws'
import { WebSocket } from 'ws'
import { openTestGateway, type TestGateway, until } from './test-gateway.ts'

// Subscriptions over both transports against a generation service in memory; sockets, streams and gRPC are real.

let gateway: TestGateway
const clients: { dispose(): unknown }[] = []
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterEach(async () => {
  for (const client of clients.splice(0)) await client.dispose()
})
afterAll(() => gateway.dispose())

interface Result {
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects out of any result
  readonly data?: any
  readonly errors?: readonly { message: string; extensions?: Record<string, unknown> }[]
}
type Subscribe = (query: string, variables: Record<string, unknown>) => AsyncIterableIterator<Result>

const webSocketClient = (target = gateway): Client => {
  const client = createClient({
    url: `${target.url.replace('http', 'ws')}/graphql`,
    webSocketImpl: WebSocket,
    retryAttempts: 0,
    lazy: true,
  })
  clients.push(client)
  return client
}

const transports: [string, () => Subscribe][] = [
  [
    'WebSocket',
    () => {
      const client = webSocketClient()
      return (query, variables) => client.iterate({ query, variables }) as AsyncIterableIterator<Result>
    },
  ],
  [
    'server-sent events',
    () => {
      const client = createSseClient({ url: `${gateway.url}/graphql/stream`, retryAttempts: 0 })
      clients.push(client)
      return (query, variables) => client.iterate({ query, variables }) as AsyncIterableIterator<Result>
    },
  ],
]

/** 180 kB an event, so that what the system buffers is full long before 250 are made. */
const wide = `subscription ($id: ID!) { generationProgress(id: $id, after: "000001") {
  ${Array.from({ length: 25 }, (_, k) => `p${k}: generation { images { id url mask { url } } }`).join(' ')}
} }`
const longStory = () => {
  const id = gateway.generation.addGeneration({ images: 40 })
  for (let event = 0; event < 250; event++) gateway.generation.publish(id)
  return id
}
/** A number once it has stopped changing. */
async function settled(count: () => number): Promise<number> {
  for (let last = Number.NaN; ; last = count()) {
    await sleep(500)
    if (count() === last) return last
  }
}

const watch =
  'subscription ($id: ID!, $after: String) { generationProgress(id: $id, after: $after) { cursor step status } }'

async function all(results: AsyncIterable<Result>): Promise<Result[]> {
  const list: Result[] = []
  for await (const result of results) list.push(result)
  return list
}
const cursors = (results: readonly Result[]) => results.map(({ data }) => data?.generationProgress.cursor)

describe.each(transports)('%s', (_, open) => {
  test('an event has everything that is selected, from every subgraph, as it is then', async () => {
    const id = gateway.generation.addGeneration()
    gateway.generation.publish(id, { preview: { token: 't-1', widthPx: 8, heightPx: 8 }, etaMs: 700 })
    const results = open()(
      `subscription ($id: ID!, $after: String) { progress: generationProgress(id: $id, after: $after) {
        __typename cursor status stage step steps imageIndex fraction queuePosition etaMs observedAt
        preview { url width } mask { url }
        generation { id prompt subject { label safety { decision findings { region { top } } } } images { safety { decision } } }
      } }`,
      { id },
    )
    const { value } = await results.next()
    expect(value).toEqual({
      data: {
        progress: {
          ...{
            __typename: 'GenerationProgress',
            cursor: '000001',
            status: 'RUNNING',
            stage: 'DENOISE',
            step: 1,
            steps: 50,
          },
          ...{ imageIndex: 0, fraction: 0, queuePosition: 0, etaMs: 700, observedAt: '2026-09-21T14:13:20.500Z' },
          preview: { url: `${gateway.url}/assets/t-1`, width: 8 },
          mask: null,
          generation: {
            id,
            prompt: 'a dog',
            subject: { label: 'dog', safety: { decision: 'ALLOWED', findings: [{ region: { top: 0 } }] } },
            images: [{ safety: { decision: 'ALLOWED' } }],
          },
        },
      },
    })
    await results.return?.()
  })

  test('each event loads anew', async () => {
    const id = gateway.generation.addGeneration()
    gateway.generation.publish(id)
    const query = 'subscription ($id: ID!) { generationProgress(id: $id) { etaMs generation { status } } }'
    const results = open()(query, { id })
    const { value } = await results.next()
    expect(value.data.generationProgress).toMatchObject({ etaMs: null, generation: { status: 'QUEUED' } })
    await gateway.ask('mutation ($id: ID!) { cancelGeneration(id: $id) { __typename } }', { id })
    gateway.generation.publish(id)
    expect((await results.next()).value.data.generationProgress.generation.status).toBe('CANCELED')
    await results.return?.()
  })

  test('it ends with the generation', async () => {
    const id = gateway.generation.addGeneration()
    gateway.generation.publish(id)
    const results = open()(watch, { id })
    expect(cursors([(await results.next()).value])).toEqual(['000001'])
    gateway.generation.publish(id)
    gateway.generation.finish(id)
    const rest = await all(results)
    expect(cursors(rest)).toEqual(['000002', '000003'])
    expect(rest.at(-1)!.data.generationProgress.status).toBe('SUCCEEDED')
  })

  test('one who comes back with a cursor gets what was missed', async () => {
    const id = gateway.generation.addGeneration()
    for (let step = 0; step < 5; step++) gateway.generation.publish(id)
    const results = open()(watch, { id, after: '000002' })
    expect(cursors([(await results.next()).value])).toEqual(['000003'])
    gateway.generation.finish(id)
    expect(cursors(await all(results))).toEqual(['000004', '000005', '000006'])
  })

  test('a client that disappears frees the stream from the service', async () => {
    const id = gateway.generation.addGeneration()
    gateway.generation.publish(id)
    const results = open()(watch, { id })
    await results.next()
    expect(gateway.generation.watchers).toBe(1)
    for (const client of clients.splice(0)) await client.dispose()
    await until(() => gateway.generation.watchers === 0)
  })

  test('one that leaves while nothing happens frees it too', async () => {
    const id = gateway.generation.addGeneration()
    const results = open()(watch, { id })
    const waiting = results.next()
    await until(() => gateway.generation.watchers === 1)
    await results.return?.()
    await until(() => gateway.generation.watchers === 0)
    waiting.catch(() => undefined)
  })

  test('a service that goes away for a moment is taken up where it was', async () => {
    const id = gateway.generation.addGeneration()
    gateway.generation.publish(id)
    const results = open()(watch, { id })
    expect(cursors([(await results.next()).value])).toEqual(['000001'])
    const before = gateway.generation.calls.WatchGeneration!
    gateway.generation.breakOff()
    gateway.generation.publish(id)
    gateway.generation.publish(id)
    gateway.generation.finish(id)
    expect(cursors(await all(results))).toEqual(['000002', '000003', '000004'])
    expect(gateway.generation.calls.WatchGeneration).toBe(before + 1)
  })

  test('a generation that is not there is told as one', async () => {
    const [result, ...more] = await all(open()(watch, { id: 'no' }))
    expect(more).toEqual([])
    expect(result!.errors![0]).toMatchObject({
      message: 'there is no generation no',
      extensions: { code: 'NOT_FOUND' },
    })
  })

  test('an operation that is not valid never starts', async () => {
    const query = 'subscription { generationProgress(id: "x") { nothing } }'
    const outcome = await all(open()(query, {})).then(
      ([result]) => result!.errors,
      (errors) => errors,
    )
    expect(outcome).toHaveLength(1)
    expect(outcome[0]).toMatchObject({
      message: expect.stringContaining('Cannot query field "nothing"'),
      extensions: { code: 'GRAPHQL_VALIDATION_FAILED' },
    })
  })

  test('variables that do not fit are refused', async () => {
    const [result] = await all(open()(watch, { id: null }))
    expect(result!.errors![0]!.extensions!.code).toBe('BAD_USER_INPUT')
  })

  test('queries and mutations go the same way', async () => {
    const subscribe = open()
    expect(await all(subscribe('{ capabilities { bundle } }', {}))).toEqual([
      { data: { capabilities: { bundle: 'moma-mini' } } },
    ])
    const [result] = await all(subscribe('mutation { cancelGeneration(id: "no") { ... on Problem { code } } }', {}))
    expect(result!.data.cancelGeneration.code).toBe('NOT_FOUND')
  })
})

test('a thousand subscribers over ten sockets each get every event, from one stream', async () => {
  const id = gateway.generation.addGeneration()
  gateway.generation.publish(id)
  const before = gateway.generation.calls.WatchGeneration ?? 0
  const sockets = Array.from({ length: 10 }, () => webSocketClient())
  const counts = new Map<string, number>()
  let begun = 0
  const done = sockets.flatMap((client) =>
    Array.from({ length: 100 }, () => {
      let first = true
      return new Promise<void>((resolve, reject) =>
        client.subscribe<{ generationProgress: { cursor: string } }>(
          { query: watch, variables: { id } },
          {
            next({ data }) {
              const { cursor } = data!.generationProgress
              counts.set(cursor, (counts.get(cursor) ?? 0) + 1)
              if (first) begun++
              first = false
            },
            error: reject,
            complete: resolve,
          },
        ),
      )
    }),
  )
  await until(() => begun === 1000, 30_000)
  expect(gateway.generation.calls.WatchGeneration! - before).toBe(1)
  for (let step = 0; step < 4; step++) gateway.generation.publish(id)
  gateway.generation.finish(id)
  await Promise.all(done)
  expect(Object.fromEntries(counts)).toEqual(
    Object.fromEntries(Array.from({ length: 6 }, (_, index) => [String(index + 1).padStart(6, '0'), 1000])),
  )
}, 30_000)

describe('WebSocket', () => {
  const connect = async (headers: Record<string, string> = {}, { url } = gateway) => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', { headers })
    const messages: { type: string; id?: string; payload?: unknown }[] = []
    const closed = new Promise<{ code: number; reason: string }>((resolve) =>
      socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
    )
    socket.on('message', (data) => messages.push(JSON.parse(String(data))))
    clients.push({ dispose: () => socket.terminate() })
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    return { socket, messages, closed, send: (message: object) => socket.send(JSON.stringify(message)) }
  }

  test('the hundred and first operation of a socket is refused', async () => {
    const id = gateway.generation.addGeneration()
    const { send, messages } = await connect()
    send({ type: 'connection_init' })
    await until(() => messages.length === 1)
    for (let k = 0; k <= 100; k++) send({ type: 'subscribe', id: `${k}`, payload: { query: watch, variables: { id } } })
    await until(() => messages.some(({ type }) => type === 'error'))
    expect(messages.find(({ type }) => type === 'error')).toMatchObject({
      id: '100',
      payload: [{ extensions: { code: 'LIMIT_EXCEEDED' } }],
    })
  })

  test('a reader that does not read holds the source back', async () => {
    const before = gateway.generation.calls.GetGenerations ?? 0
    const { socket, send, messages } = await connect()
    send({ type: 'connection_init' })
    await until(() => messages.length === 1)
    send({ type: 'subscribe', id: '1', payload: { query: wide, variables: { id: longStory() } } })
    await until(() => messages.length === 2)
    socket.pause()
    expect(await settled(() => gateway.generation.calls.GetGenerations! - before)).toBeLessThan(125)
    socket.terminate()
    await until(() => gateway.generation.watchers === 0)
  })

  test('a message that is too long ends the socket', async () => {
    const { socket, closed } = await connect()
    socket.send(JSON.stringify({ type: 'connection_init', payload: { filler: 'x'.repeat(300_000) } }))
    expect(await closed).toMatchObject({ code: 1009 })
  })

  test('nonsense ends the socket', async () => {
    const { socket, closed } = await connect()
    socket.send('{"type":"nonsense"}')
    expect(await closed).toMatchObject({ code: 4400 })
  })

  test('a page of another origin can not connect', async () => {
    await expect(connect({ origin: 'https://elsewhere.example' })).rejects.toThrow('403')
    await expect(connect({ origin: gateway.url })).resolves.toBeDefined()
  })

  test('a page at the public URL can, whatever name a proxy asks by', async () => {
    await using other = await openTestGateway({ MOMA_PUBLIC_URL: 'https://moma.example.com/api', MOMA_AUTH: 'keys' })
    const { host } = new URL(other.url)
    await expect(connect({ host, origin: 'https://moma.example.com' }, other)).resolves.toBeDefined()
    for (const origin of ['http://moma.example.com', 'https://moma.example.com:8443', 'https://example.com', 'null']) {
      await expect(connect({ host, origin }, other)).rejects.toThrow('403')
    }
  })

  test('a name that is not this gateway’s can not be used for it', async () => {
    await expect(connect({ host: 'rebound.example' })).rejects.toThrow('421')
  })
})

describe('server-sent events', () => {
  test('plain text is no JSON, however it is called', async () => {
    const response = await fetch(`${gateway.url}/graphql/stream`, {
      method: 'POST',
      headers: { accept: 'text/event-stream', 'content-type': 'text/plain; charset=application/json' },
      body: JSON.stringify({ query: 'mutation { deleteSubject(id: "x") { __typename } }' }),
    })
    expect(response.status).toBe(415)
  })

  test('a reader that does not read holds the source back', async () => {
    const id = longStory()
    const before = gateway.generation.calls.GetGenerations ?? 0
    const response = await fetch(`${gateway.url}/graphql/stream`, {
      method: 'POST',
      headers: { accept: 'text/event-stream', 'content-type': 'application/json' },
      body: JSON.stringify({ query: wide, variables: { id } }),
    })
    expect(await settled(() => gateway.generation.calls.GetGenerations! - before)).toBeLessThan(125)
    await response.body!.cancel()
    await until(() => gateway.generation.watchers === 0)
  })
})

test('draining says "going away" to sockets and ends streams', async () => {
  await using other = await openTestGateway()
  const id = other.generation.addGeneration()
  other.generation.publish(id)
  const client = webSocketClient(other)
  const closed = new Promise<{ code: number }>((resolve) => {
    client.on('closed', (event) => resolve(event as { code: number }))
  })
  const results = client.iterate({ query: watch, variables: { id } })
  await results.next()
  const stream = await fetch(
    `${other.url}/graphql/stream?${new URLSearchParams({ query: `subscription { generationProgress(id: "${id}") { cursor } }` })}`,
    { headers: { accept: 'text/event-stream' } },
  )
  const text = stream.text()
  text.catch(() => undefined)
  await other.drain()
  expect((await closed).code).toBe(1001)
  await expect(text).rejects.toThrow()
  await expect(fetch(`${other.url}/healthz`)).rejects.toThrow()
})
