import { once } from 'node:events'
import { createServer } from 'node:http'
import { WebSocket } from 'ws'
import { listenAt } from '../../services/lib/mesh/address.ts'
import { silentLogger } from '../../services/lib/mesh/log.ts'
import type { GatewayMetrics } from '../metrics.ts'
import { loadSupergraph } from '../supergraph.ts'
import { openWebSockets } from './web-sockets.ts'

test('a socket whose client is gone without a word is ended, one that answers stays', async () => {
  const returned = Promise.withResolvers<void>()
  let open = 0
  const metrics = {
    sockets(change: number) {
      open += change
    },
  } as unknown as GatewayMetrics
  const sockets = openWebSockets({
    supergraph: loadSupergraph(silentLogger),
    execution: {
      execute: async () => ({ data: {} }),
      async *subscribe({ signal }) {
        yield { data: {} }
        if (!signal.aborted) await once(signal, 'abort')
        returned.resolve()
      },
    },
    access: { identify: async () => ({ tenant: 'local', scopes: new Set() }), hasKeys: async () => false },
    names: { loopback: true, origins: [], publicUrl: () => 'http://127.0.0.1' },
    metrics,
    log: silentLogger,
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
