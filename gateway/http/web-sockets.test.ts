import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { Duplex } from 'node:stream'
import { text } from 'node:stream/consumers'
import { WebSocket } from 'ws'
import { listenAt } from '../../services/lib/mesh/address.ts'
import { silentLogger } from '../../services/lib/mesh/log.ts'
import { limits } from '../limits/limits.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { loadSupergraph } from '../supergraph.ts'
import { openWebSockets, type WebSocketOptions } from './web-sockets.ts'

const options: WebSocketOptions = {
  supergraph: loadSupergraph(silentLogger),
  execution: {
    execute: async () => ({ data: {} }),
    async *subscribe() {},
  },
  access: { identify: async () => ({ tenant: 'local', scopes: new Set() }), hasKeys: async () => false },
  names: { loopback: true, origins: [], publicUrl: () => 'http://127.0.0.1' },
  metrics: { sockets: () => undefined } as unknown as GatewayMetrics,
  log: silentLogger,
}

test('a socket whose client is gone without a word is ended, one that answers stays', async () => {
  const returned = Promise.withResolvers<void>()
  let open = 0
  const metrics = {
    sockets(change: number) {
      open += change
    },
  } as unknown as GatewayMetrics
  const sockets = openWebSockets({
    ...options,
    execution: {
      execute: async () => ({ data: {} }),
      async *subscribe({ signal }) {
        yield { data: {} }
        if (!signal.aborted) await once(signal, 'abort')
        returned.resolve()
      },
    },
    metrics,
    pingMs: 300,
  })
  const server = createServer().on('upgrade', (request, socket, head) => sockets.upgrade(request, socket, head))
  const { port } = await listenAt(server, { host: '127.0.0.1', port: 0 })
  const connect = async (autoPong: boolean) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/graphql`, 'graphql-transport-ws', { autoPong })
    const closed = new Promise<number>((resolve) => socket.once('close', resolve))
    await once(socket, 'open')
    socket.send('{"type":"connection_init"}')
    await once(socket, 'message')
    return { socket, closed }
  }
  const [silent, lively] = [await connect(false), await connect(true)]
  const query = 'subscription { generationProgress(id: 1) { cursor } }'
  silent.socket.send(JSON.stringify({ type: 'subscribe', id: '1', payload: { query } }))
  expect(await silent.closed).toBe(1006)
  await returned.promise
  expect([open, lively.socket.readyState]).toEqual([1, WebSocket.OPEN])
  await sockets.dispose()
  expect(await lively.closed).toBe(1001)
  server.close()
})

describe('a refused upgrade', () => {
  const most = limits.sockets
  const setMost = (count: number) => Object.assign(limits, { sockets: count })
  afterEach(() => void setMost(most))

  test.each([
    ['of another path', 404, '/x', '', most],
    ['by another name', 421, '/graphql', 'Host: rebound.example\r\n', most],
    ['of a strange page', 403, '/graphql', 'Host: localhost\r\nOrigin: https://no.example\r\n', most],
    ['that is one too many', 503, '/graphql', 'Host: localhost\r\n', 0],
    ['that is no handshake', 400, '/graphql', 'Host: localhost\r\n', most],
  ])('%s is answered with %i and closed, though the client stays', async (_, status, path, headers, sockets) => {
    setMost(sockets)
    const webSockets = openWebSockets(options)
    const server = createServer().on('upgrade', (...given) => webSockets.upgrade(...given))
    const { port } = await listenAt(server, { host: '127.0.0.1', port: 0 })
    const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    try {
      const asked = once(server, 'connection')
      client.write(`GET ${path} HTTP/1.1\r\n${headers}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
      const [connection] = await asked
      expect(await text(client)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      if (!connection.closed) await once(connection, 'close', { signal: AbortSignal.timeout(10_000) })
    } finally {
      client.destroy()
      server.close()
    }
  })

  test.each(['/x', '/graphql'])('at %s is closed though its answer can not leave', async (url) => {
    const webSockets = openWebSockets(options)
    const socket = new Duplex({ read() {}, write() {} })
    const request = { method: 'GET', url, headers: { host: 'localhost' } } as IncomingMessage
    webSockets.upgrade(request, socket, Buffer.alloc(0))
    await once(socket, 'close', { signal: AbortSignal.timeout(10_000) })
  })
})
