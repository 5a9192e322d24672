import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { JetStreamApiError } from '@nats-io/jetstream'
import { pino } from 'pino'
import { hasNatsServer, type NatsServer, startNatsServer } from '../../../test/nats.ts'
import { createNatsEvents } from './events/nats-events.ts'
import { createNatsJobs } from './jobs/nats-jobs.ts'
import { connectNats, type Nats } from './nats.ts'

describe('whom it can not work with is said in one sentence', () => {
  test('nobody', async () => {
    await expect(connectNats({ url: 'nats://127.0.0.1:1', timeoutMs: 500 })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: "NATS can't be reached, is NATS_URL its address?",
    })
  })

  test('an address that is none, without a word of its secrets', async () => {
    await expect(connectNats({ url: 'http://secret@127.0.0.1' })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: 'NATS_URL is not usable, allowed is nats://host:port or tls://host:port',
    })
  })

  test('a server that is too old', async () => {
    const server = await greetWith({ version: '2.8.4', jetstream: true })
    try {
      await expect(connectNats({ url: urlOf(server), timeoutMs: 1000 })).rejects.toMatchObject({
        code: 'FAILED_PRECONDITION',
        message: "NATS: the server's version is 2.8.4, allowed is 2.9 or newer",
      })
    } finally {
      server.close()
    }
  })
})

const testNats = hasNatsServer ? test : test.skip

testNats('a server without JetStream', async () => {
  await using server: NatsServer = await startNatsServer({ jetStream: false })
  await expect(connectNats({ url: server.url, timeoutMs: 1000 })).rejects.toMatchObject({
    code: 'FAILED_PRECONDITION',
    message: 'NATS: the server has no JetStream, start it with -js',
  })
})

testNats('a stream that the server refuses', async () => {
  await using server: NatsServer = await startNatsServer()
  await using nats = await connectNats({ url: server.url })
  await nats.manager.streams.add({ name: 'OTHER', subjects: ['moma.events.*'] })
  await expect(createNatsEvents({ nats })).rejects.toMatchObject({
    code: 'FAILED_PRECONDITION',
    message: "NATS: the stream MOMA_EVENTS can't be made: subjects overlap with an existing stream",
  })
})

testNats('more copies of a stream than there are servers', async () => {
  await using server: NatsServer = await startNatsServer()
  await using nats = await connectNats({ url: server.url })
  await expect(createNatsEvents({ nats, replicas: 3 })).rejects.toMatchObject({
    code: 'FAILED_PRECONDITION',
    message: expect.stringContaining("NATS: the stream MOMA_EVENTS can't be made: replicas > 1"),
  })
})

test.each([
  ['jobs', createNatsJobs],
  ['events', createNatsEvents],
])('the copies that somebody has given the stream of %s stay, unless others are asked for', async (_, create) => {
  const updates: object[] = []
  const streams = {
    async add() {
      throw new JetStreamApiError({ code: 400, err_code: 10058, description: 'stream name already in use' })
    },
    async update(_name: string, config: object) {
      updates.push(config)
      return {}
    },
  }
  const nats = {
    ready: async () => undefined,
    onReconnect: () => () => undefined,
    manager: { streams, consumers: { add: async () => undefined } },
    streams: { consumers: { get: async () => ({}) } },
  } as unknown as Nats
  for (const replicas of [undefined, 3]) await (await create({ nats, replicas }))[Symbol.asyncDispose]()
  expect(updates).toHaveLength(2)
  expect(updates[0]).not.toHaveProperty('num_replicas')
  expect(updates[1]).toMatchObject({ num_replicas: 3 })
})

testNats('a server that refuses for a while is asked until it lets in again, and told of once', async () => {
  await using server: NatsServer = await startNatsServer()
  const lines: string[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push((JSON.parse(line) as Line).msg) })
  await using nats = await connectNats({ url: server.url, log, timeoutMs: 500 })
  let refusals = 0
  void (async () => {
    for await (const { type } of nats.connection.status()) if (type === 'error') refusals++
  })()
  let returns = 0
  nats.onReconnect(() => void returns++)
  await server.stop()
  await server.start({ token: 'another' })
  await until(() => refusals >= 3 || nats.connection.isClosed())
  expect([nats.connected, nats.connection.isClosed()]).toEqual([false, false])
  await expect(nats.ready()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  await server.stop()
  await server.start()
  await until(() => nats.connected)
  expect(returns).toBe(1)
  expect(lines).toEqual(['NATS is gone', 'NATS refuses this client; it is asked again', 'NATS is back'])
})

async function until(condition: () => boolean, timeoutMs = 15_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > end) throw new Error('it did not come about')
    await sleep(20)
  }
}

interface Line {
  readonly msg: string
}

/** Speaks as much of NATS' protocol as a client needs to connect. */
async function greetWith(info: object): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.write(`INFO ${JSON.stringify({ server_id: 'x', proto: 1, max_payload: 1024, ...info })}\r\n`)
    socket.on('data', (data) => {
      if (data.includes('PING')) socket.write('PONG\r\n')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

function urlOf(server: Server): string {
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new TypeError('no port')
  return `nats://127.0.0.1:${address.port}`
}
