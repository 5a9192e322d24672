import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { hasNatsServer, type NatsServer, startNatsServer } from '../../../test/nats.ts'
import { createNatsEvents } from './events/nats-events.ts'
import { connectNats } from './nats.ts'

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
