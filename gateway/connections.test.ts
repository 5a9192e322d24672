import { Agent, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
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

test('nor does a refused upgrade, though its client stays', async () => {
  await using gateway = await openTestGateway({ MOMA_DRAIN_MS: '10000' })
  const { hostname, port } = new URL(gateway.url)
  const client = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
  try {
    client.write('GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    expect(await text(client)).toMatch(/^HTTP\/1\.1 404 /)
    let drained = false
    void gateway.drain().then(() => {
      drained = true
    })
    await until(() => drained, 3000)
  } finally {
    client.destroy()
  }
})
