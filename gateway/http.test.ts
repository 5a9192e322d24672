import { createHash, randomBytes } from 'node:crypto'
import { request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { auditServer } from 'graphql-http'
import { MeshError } from '../services/lib/mesh/errors.ts'
import { examples } from './explorer/examples.js'
import { openTestGateway, type TestGateway, until } from './test-gateway.ts'

// What the gateway answers over plain HTTP beside operations' results.

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway.dispose())

const others: TestGateway[] = []
async function another(env: NodeJS.ProcessEnv = {}): Promise<TestGateway> {
  const other = await openTestGateway(env)
  others.push(other)
  return other
}
afterEach(async () => {
  for (const other of others.splice(0)) await other.dispose()
})

const get = (path: string, init: RequestInit = {}) => fetch(`${gateway.url}${path}`, { redirect: 'manual', ...init })

/** Audits that fail on purpose. */
const accepted = {
  // A link of another page must not be able to ask: GET takes a header that no link can send.
  '5A70': 'notice',
  D6D5: 'notice',
  '6A70': 'notice',
  // Clients that take application/json alone get 400 for what is not executed, as Apollo Server says it to all: proxies
  // and metrics see a failure as one. Those that take application/graphql-response+json get what the specification says.
  '572B': 'warn',
  FDE2: 'warn',
  '7B9B': 'warn',
}

test('GraphQL over HTTP as its specification says (graphql-http’s audits)', async () => {
  const results = await auditServer({ url: `${gateway.url}/graphql` })
  const failed = results.filter(({ status }) => status !== 'ok')
  expect(Object.fromEntries(failed.map(({ id, status }) => [id, status]))).toEqual(accepted)
})

describe('pictures', () => {
  const bytes = randomBytes(5000)
  const etag = `"${createHash('sha256').update(bytes).digest('hex')}"`
  let path = ''
  beforeAll(() => {
    path = `/assets/${gateway.generation.addAsset(bytes)}`
  })

  test('whole, with everything a cache wants to know', async () => {
    const response = await get(path)
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-type': 'image/png',
      'content-length': '5000',
      etag,
      'accept-ranges': 'bytes',
      'cache-control': 'private, max-age=31536000, immutable',
      'x-content-type-options': 'nosniff',
      'cross-origin-resource-policy': 'same-origin',
    })
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes)).toBe(true)
  })

  test('HEAD says the same without the bytes', async () => {
    const response = await get(path, { method: 'HEAD' })
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-length': '5000',
      'content-type': 'image/png',
      etag,
    })
    expect((await response.arrayBuffer()).byteLength).toBe(0)
  })

  test('nothing for one who has it', async () => {
    const response = await get(path, { headers: { 'if-none-match': `"other", ${etag}` } })
    expect(response.status).toBe(304)
    expect(response.headers.get('etag')).toBe(etag)
    expect((await response.arrayBuffer()).byteLength).toBe(0)
    expect((await get(path, { headers: { 'if-none-match': '"other"' } })).status).toBe(200)
  })

  test.each([
    ['bytes=0-99', 0, 100],
    ['bytes=1500-3500', 1500, 3501],
    ['bytes=4990-', 4990, 5000],
    ['bytes=-10', 4990, 5000],
    ['bytes=4000-9999', 4000, 5000],
  ])('the range %s', async (range, start, end) => {
    const response = await get(path, { headers: { range } })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/5000`)
    expect(response.headers.get('content-length')).toBe(String(end - start))
    expect(Buffer.from(await response.arrayBuffer()).equals(bytes.subarray(start, end))).toBe(true)
  })

  test('a range outside of it is refused', async () => {
    const response = await get(path, { headers: { range: 'bytes=5000-' } })
    expect(response.status).toBe(416)
    expect(response.headers.get('content-range')).toBe('bytes */5000')
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  test.each([
    [{ range: 'bytes=0-1,5-6' }],
    [{ range: 'lines=1-2' }],
    [{ range: 'bytes=0-9', 'if-range': '"another"' }],
  ])('%j is answered with the whole', async (headers) => {
    const response = await get(path, { headers: headers as unknown as Record<string, string> })
    expect([response.status, (await response.arrayBuffer()).byteLength]).toEqual([200, 5000])
  })

  test('what is no picture is not shown as what it says', async () => {
    const token = gateway.generation.addAsset(Buffer.from('<script>'), 'text/html')
    expect((await get(`/assets/${token}`)).headers.get('content-type')).toBe('application/octet-stream')
  })

  test.each(['unknown', '..%2F..%2Fetc', 'x'.repeat(2000), '%ff'])('there is nothing at %.20s', async (token) => {
    const response = await get(`/assets/${token}`)
    expect([400, 404]).toContain(response.status)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
  })

  test('only to be read', async () => {
    const response = await get(path, { method: 'DELETE' })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  test('a service that is not there is no missing picture', async () => {
    gateway.generation.fail('ReadAsset', new MeshError('INTERNAL', 'disk /srv is full'))
    const response = await get(path)
    gateway.generation.fail('ReadAsset', null)
    expect(response.status).toBe(500)
    expect(await response.text()).not.toContain('/srv')
  })
})

describe('uploads', () => {
  const promise = async (byteLength: number, contentType = 'image/png'): Promise<string> => {
    const { data } = await gateway.ask(
      'mutation ($input: CreateUploadInput!) { createUpload(input: $input) { url uploadId } }',
      { input: { byteLength, contentType } },
    )
    return data.createUpload.url
  }
  const put = (
    url: string,
    body: NonNullable<RequestInit['body']>,
    headers: Record<string, string> = { 'content-type': 'image/png' },
  ) => fetch(url, { method: 'PUT', body, headers, duplex: 'half' } as RequestInit)

  test('a promised file is taken, and its id comes back', async () => {
    const response = await put(await promise(70_000), randomBytes(70_000))
    expect(response.status).toBe(201)
    expect(await response.json()).toEqual({ uploadId: expect.stringMatching(/^upload-/) })
  })

  test('in pieces, without a length', async () => {
    const pieces = async function* () {
      for (let k = 0; k < 7; k++) yield randomBytes(10_000)
    }
    const response = await put(await promise(70_000), ReadableStream.from(pieces()) as never)
    expect(response.status).toBe(201)
  })

  test.each([
    ['too large by its own word', 100_001, 413, 'the file has at least 100001 bytes, allowed are 100000'],
    ['shorter than promised', 5, 400, 'the file has 5 bytes, allowed are 10'],
  ])('%s', async (_, length, status, detail) => {
    const response = await put(await promise(10), randomBytes(length))
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
    expect(await response.json()).toMatchObject({ status, detail })
  })

  test('too large without a word is refused once it is', async () => {
    let sent = 0
    const endless = async function* () {
      for (; sent < 50_000_000; sent += 10_000) {
        yield randomBytes(10_000)
        await sleep(1)
      }
    }
    const response = await put(await promise(10), ReadableStream.from(endless()) as never)
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({
      detail: expect.stringMatching(/^the file has at least \d+ bytes, allowed are 100000$/),
    })
    expect(sent).toBeLessThan(2_000_000)
    await response.body?.cancel().catch(() => undefined)
  })

  test.each([
    [{ 'content-type': 'image/jpeg' }, 415, 'contentType is image/jpeg, allowed is image/png'],
    [
      { 'content-type': 'text/html' },
      415,
      'the header Content-Type is "text/html", allowed is the one that createUpload gave',
    ],
  ])('the wrong type %j', async (headers, status, detail) => {
    const response = await put(await promise(10), randomBytes(10), headers)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ detail })
  })

  test('a token that was never given', async () => {
    const response = await put(`${gateway.url}/uploads/forged`, randomBytes(10))
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ detail: 'there is no such upload' })
  })

  test('a client that goes away in the middle leaves nothing behind', async () => {
    const url = new URL(await promise(70_000))
    const request = httpRequest({
      host: url.hostname,
      port: url.port,
      path: url.pathname,
      method: 'PUT',
      headers: { 'content-type': 'image/png', 'content-length': 70_000 },
    })
    request.on('error', () => undefined)
    request.write(randomBytes(1000))
    await until(() => gateway.generation.writers === 1)
    request.destroy()
    await until(() => gateway.generation.writers === 0)
    expect((await put(url.href, randomBytes(70_000))).status).toBe(201)
  })
})

describe('who may ask', () => {
  const post = (headers: Record<string, string>, body = JSON.stringify({ query: '{ __typename }' })) =>
    get('/graphql', { method: 'POST', headers, body })

  test.each([['text/plain'], ['application/x-www-form-urlencoded'], ['multipart/form-data; boundary=x']])(
    'a form of another page can not: %s',
    async (type) => {
      expect((await post({ 'content-type': type })).status).toBe(400)
    },
  )

  test('a link of another page can not', async () => {
    const response = await get(`/graphql?${new URLSearchParams({ query: '{ capabilities { bundle } }' })}`)
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('CSRF')
  })

  test('a script of another page is told nothing, unless its origin is listed', async () => {
    const origin = 'https://studio.example.com'
    const preflight = (url: string) =>
      fetch(`${url}/graphql`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'content-type,authorization',
        },
      })
    expect((await preflight(gateway.url)).headers.get('access-control-allow-origin')).toBeNull()
    const other = await another({ MOMA_CORS_ORIGINS: `${origin},https://b.example.com` })
    const response = await preflight(other.url)
    expect(response.status).toBe(204)
    expect(response.headers.get('access-control-allow-origin')).toBe(origin)
    expect(response.headers.get('access-control-allow-headers')).toContain('authorization')
    const stranger = await fetch(`${other.url}/graphql`, {
      method: 'POST',
      headers: { origin: 'https://no.example.com', 'content-type': 'application/json' },
      body: '{"query":"{ __typename }"}',
    })
    expect(stranger.headers.get('access-control-allow-origin')).toBeNull()
  })

  test('a name that was pointed at this machine is not answered to', async () => {
    const { hostname, port } = new URL(gateway.url)
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), hostname, () =>
        socket.end('GET /readyz HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n'),
      )
      socket.once('error', reject)
      socket.setEncoding('utf8').once('data', (text) => resolve(String(text)))
    })
    expect(answer).toMatch(/^HTTP\/1\.1 421 /)
  })
})

describe('the rest', () => {
  test('addresses begin with what clients reach it by', async () => {
    const other = await another({ MOMA_PUBLIC_URL: 'https://moma.example.com/api/', MOMA_AUTH: 'keys' })
    const { data } = await other.ask(
      'mutation { createUpload(input: { contentType: "image/png", byteLength: 1 }) { url } }',
      {},
      { authorization: `Bearer ${other.generation.addKey()}` },
    )
    expect(data.createUpload.url).toMatch(/^https:\/\/moma\.example\.com\/api\/uploads\/u-/)
  })

  test('it lives, and is ready while the generation service serves', async () => {
    const other = await another()
    const ready = async () => (await fetch(`${other.url}/readyz`)).status
    await until(async () => (await ready()) === 200)
    await other.generation.dispose()
    await until(async () => (await ready()) === 503)
    expect((await fetch(`${other.url}/healthz`)).status).toBe(200)
  })

  test('headers that keep browsers from harm', async () => {
    const { headers } = await get('/healthz')
    expect(headers.get('content-security-policy')).toContain("default-src 'none'")
    expect(headers.get('x-frame-options')).toBe('DENY')
    expect(headers.has('x-powered-by')).toBe(false)
  })

  test('what is not there', async () => {
    const response = await get('/wp-admin')
    expect(response.status).toBe(404)
    expect(await response.json()).toEqual({
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'there is nothing at /wp-admin',
    })
  })

  test('a subscription is told where it can be had', async () => {
    const { status, errors } = await gateway.ask('subscription { generationProgress(id: "x") { cursor } }')
    expect([status, errors![0]!.message]).toEqual([
      400,
      'subscriptions go over WebSocket at this address, or over server-sent events at its /stream',
    ])
  })

  test('operations are counted by type and outcome', async () => {
    await gateway.ask('{ capabilities { bundle } }')
    await gateway.ask('{ capabilities { bundle } subjects(first: 0) { nodes { id } } }')
    const text = await gateway.metrics.registry.metrics()
    expect(text).toMatch(/moma_operations_total\{type="query",outcome="ok"\} \d+/)
    expect(text).toMatch(/moma_operations_total\{type="query",outcome="errors"\} 1/)
    expect(text).toMatch(/moma_operations_total\{type="mutation",outcome="ok"\} \d+/)
    expect(text).toMatch(/moma_operation_seconds_bucket\{le="0.001",type="query"\}/)
  })

  test('requests finish before a gateway ends', async () => {
    const other = await another()
    const go = other.generation.hold('GetCapabilities')
    const asked = Promise.all(Array.from({ length: 10 }, () => other.ask('{ capabilities { bundle } }')))
    await until(() => other.generation.calls.GetCapabilities === 10)
    const drained = Promise.all([other.drain(), other.drain()])
    await expect(fetch(`${other.url}/healthz`)).rejects.toThrow()
    go()
    for (const { data } of await asked) expect(data.capabilities.bundle).toBe('moma-mini')
    await drained
  })

  test('those that take too long are ended', async () => {
    const other = await another({ MOMA_DRAIN_MS: '50' })
    other.generation.hold('GetCapabilities')
    const asked = other.ask('{ capabilities { bundle } }').catch((error) => error.message)
    await until(() => other.generation.calls.GetCapabilities === 1)
    await other.drain()
    expect(await asked).toBe('fetch failed')
  })
})

describe('the explorer', () => {
  test('stands where browsers look, and loads nothing from elsewhere', async () => {
    const response = await get('/graphql', { headers: { accept: 'text/html' } })
    expect([response.status, response.headers.get('location')]).toEqual([302, '/explorer'])
    const page = await get('/explorer')
    const html = await page.text()
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//)
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'")
    for (const [, path] of html.matchAll(/(?:src|href)="([^"]+)"/g)) {
      const file = await get(path!)
      expect([path, file.status]).toEqual([path, 200])
      expect(await file.text()).not.toMatch(/https?:\/\/\w/)
    }
    expect((await get('/explorer/examples.js')).headers.get('content-type')).toContain('text/javascript')
  })

  test('can be left out', async () => {
    const other = await another({ MOMA_EXPLORER: 'off' })
    expect((await fetch(`${other.url}/explorer`)).status).toBe(404)
  })

  test.each(examples.filter(({ query }) => !query.startsWith('subscription')))(
    '$name',
    async ({ query, variables }) => {
      const { status, errors } = await gateway.ask(query, variables)
      expect({ status, errors }).toEqual({ status: 200, errors: undefined })
    },
  )
})
