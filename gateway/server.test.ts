import { once } from 'node:events'
import { connect } from 'node:net'
import { createGenerationClient } from '../services/generation/client.ts'
import { createProgressFeed } from '../services/generation/graphql/progress-feed.ts'
import { listenAt } from '../services/lib/mesh/address.ts'
import { silentLogger as log } from '../services/lib/mesh/log.ts'
import { createMetrics } from '../services/lib/mesh/metrics.ts'
import { createAccess } from './access.ts'
import { createGatewayMetrics } from './metrics.ts'
import { createGatewayServer } from './server.ts'
import { loadSupergraph } from './supergraph.ts'
import { until } from './test-gateway.ts'

test('an upgraded connection that nobody ends does not hold up the end', async () => {
  await using cleanups = new AsyncDisposableStack()
  const generation = cleanups.use(createGenerationClient({ addresses: [{ host: '127.0.0.1', port: 9 }], log }))
  const { http, drain } = await createGatewayServer({
    supergraph: loadSupergraph(log),
    generation,
    progress: cleanups.use(createProgressFeed(generation)),
    access: createAccess({ mode: 'open', forThisMachine: true, generation }),
    metrics: createGatewayMetrics(createMetrics().registry),
    explorer: false,
    log,
    loopback: true,
    origins: [],
    publicUrl: () => 'http://127.0.0.1',
  })
  http.removeAllListeners('upgrade').on('upgrade', () => undefined)
  const { port } = await listenAt(http, { host: '127.0.0.1', port: 0 })
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => undefined)
  cleanups.defer(() => void client.destroy())
  client.write('GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n')
  await once(http, 'upgrade')
  let drained = false
  void drain(200).then(() => {
    drained = true
  })
  expect(drained).toBe(false)
  await until(() => drained, 10_000)
})
