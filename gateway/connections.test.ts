import { Agent, type IncomingMessage, request } from 'node:http'
import { openTestGateway, until } from './test-gateway.ts'

// Connections that are kept for more than one request, as load balancers keep them.

const agent = new Agent({ keepAlive: true })
afterAll(() => agent.destroy())

/** Asks at an address, and reads the answer to its end. */
const ask = (url: string, query?: string) =>
  new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request(url, {
      agent,
      method: query ? 'POST' : 'GET',
      headers: { 'content-type': 'application/json' },
    })
    asked.on('response', (response) => response.resume().on('end', () => resolve(response))).on('error', reject)
    asked.end(query && JSON.stringify({ query }))
  })

test('a connection waits longer for its next request than load balancers keep it', async () => {
  await using gateway = await openTestGateway()
  expect((await ask(`${gateway.url}/healthz`)).headers['keep-alive']).toBe('timeout=65')
})

test('and does not hold up the end of the gateway that has answered it', async () => {
  await using gateway = await openTestGateway({ MOMA_DRAIN_MS: '10000' })
  const go = gateway.generation.hold('GetCapabilities')
  const answer = ask(`${gateway.url}/graphql`, '{ capabilities { bundle } }')
  await until(() => gateway.generation.calls.GetCapabilities === 1)
  const drained = gateway.drain()
  go()
  expect((await answer).statusCode).toBe(200)
  const answered = performance.now()
  await drained
  expect(performance.now() - answered).toBeLessThan(3000)
})
