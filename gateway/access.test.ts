import { setTimeout as sleep } from 'node:timers/promises'
import { createClient as createSseClient } from 'graphql-sse'
import { createClient } from 'graphql-ws'
import { WebSocket } from 'ws'
import { MeshError } from '../services/lib/mesh/errors.ts'
import { createAccess } from './access.ts'
import { readGatewayConfig } from './config.ts'
import { openTestGateway, type TestGateway } from './test-gateway.ts'

const open: TestGateway[] = []
const gatewayWith = async (...options: Parameters<typeof openTestGateway>) => {
  const gateway = await openTestGateway(...options)
  open.push(gateway)
  return gateway
}
afterEach(async () => {
  for (const gateway of open.splice(0)) await gateway.dispose()
})

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const query = '{ subjects { nodes { id } } }'

describe('keys', () => {
  test('open on loopback until there is a key', async () => {
    const gateway = await gatewayWith({})
    const id = gateway.generation.addSubject('local')
    expect((await gateway.ask(query)).data.subjects.nodes).toEqual([{ id }])
    const other = await gatewayWith({})
    other.generation.addKey()
    const { status, headers, errors, data } = await other.ask(query)
    expect({ status, data }).toEqual({ status: 401, data: undefined })
    expect(headers.get('www-authenticate')).toBe('Bearer')
    expect(errors).toEqual([
      {
        message: 'the header Authorization is missing, allowed is "Bearer" and an API key',
        extensions: { code: 'UNAUTHENTICATED' },
      },
    ])
  })

  test('a key shows what is its tenant’s alone', async () => {
    const gateway = await gatewayWith({ MOMA_AUTH: 'keys' })
    const [acme, other] = [
      gateway.generation.addKey({ tenant: 'acme' }),
      gateway.generation.addKey({ tenant: 'other' }),
    ]
    const id = gateway.generation.addSubject('acme')
    expect((await gateway.ask(query, {}, bearer(acme))).data.subjects.nodes).toEqual([{ id }])
    expect((await gateway.ask(query, {}, bearer(other))).data.subjects.nodes).toEqual([])
  })

  test.each([['Bearer no-such-key'], ['Basic dXNlcjpwYXNz'], ['Bearer'], [`Bearer ${'x'.repeat(600)}`]])(
    'the header %.30s lets nobody in',
    async (authorization) => {
      const gateway = await gatewayWith({ MOMA_AUTH: 'keys' })
      const { status, errors } = await gateway.ask(query, {}, { authorization })
      expect({ status, code: errors![0]!.extensions.code }).toEqual({ status: 401, code: 'UNAUTHENTICATED' })
    },
  )

  test('reading and writing take their scopes', async () => {
    const gateway = await gatewayWith({ MOMA_AUTH: 'keys' })
    const read = gateway.generation.addKey({ scopes: ['SCOPE_READ'] })
    const write = gateway.generation.addKey({ scopes: ['SCOPE_WRITE'] })
    const mutation = 'mutation { deleteSubject(id: "x") { __typename } }'
    expect((await gateway.ask(query, {}, bearer(read))).status).toBe(200)
    const refused = await gateway.ask(mutation, {}, bearer(read))
    expect(refused.status).toBe(403)
    expect(refused.errors).toEqual([
      {
        message: 'mutations need an API key with the scope WRITE, this one has READ',
        extensions: { code: 'FORBIDDEN' },
      },
    ])
    expect(gateway.generation.calls.DeleteSubject).toBeUndefined()
    expect((await gateway.ask(mutation, {}, bearer(write))).status).toBe(200)
    expect((await gateway.ask(query, {}, bearer(write))).status).toBe(403)
  })

  test('nobody is let in while it can not be told who asks', async () => {
    const gateway = await gatewayWith({ MOMA_AUTH: 'keys' })
    const key = gateway.generation.addKey()
    gateway.generation.fail('Authenticate', new MeshError('INTERNAL', 'the database is gone'))
    const { status, data, errors } = await gateway.ask(query, {}, bearer(key))
    expect({ status, data }).toEqual({ status: 503, data: undefined })
    expect(errors![0]!.message).not.toContain('database')
  })

  test('pictures need no key: their addresses are what lets in', async () => {
    const gateway = await gatewayWith({ MOMA_AUTH: 'keys' })
    const token = gateway.generation.addAsset(Buffer.from('picture'))
    expect((await fetch(`${gateway.url}/assets/${token}`)).status).toBe(200)
  })
})

describe('subscriptions', () => {
  const watch = (id: string) => `subscription { generationProgress(id: "${id}") { cursor } }`

  test('over WebSocket the key comes with the connection', async () => {
    const gateway = await gatewayWith({ MOMA_AUTH: 'keys' })
    const key = gateway.generation.addKey()
    const id = gateway.generation.addGeneration({ tenant: 'acme' })
    gateway.generation.publish(id)
    const connect = (connectionParams: Record<string, unknown>) =>
      createClient({
        url: `${gateway.url.replace('http', 'ws')}/graphql`,
        webSocketImpl: WebSocket,
        retryAttempts: 0,
        connectionParams,
      })
    const client = connect({ authorization: `Bearer ${key}` })
    const results = client.iterate({ query: watch(id) })
    expect((await results.next()).value).toEqual({ data: { generationProgress: { cursor: '000001' } } })
    await client.dispose()
    await expect(
      connect({})
        .iterate({ query: watch(id) })
        .next(),
    ).rejects.toMatchObject({ code: 4403 })
    await expect(
      connect({ authorization: 'Bearer no' })
        .iterate({ query: watch(id) })
        .next(),
    ).rejects.toMatchObject({
      code: 4403,
      reason: 'the API key is unknown or revoked',
    })
  })

  test('over server-sent events it comes with the request', async () => {
    const gateway = await gatewayWith({ MOMA_AUTH: 'keys' })
    const key = gateway.generation.addKey()
    const id = gateway.generation.addGeneration({ tenant: 'acme' })
    gateway.generation.publish(id)
    const client = createSseClient({ url: `${gateway.url}/graphql/stream`, headers: bearer(key), retryAttempts: 0 })
    expect((await client.iterate({ query: watch(id) }).next()).value).toEqual({
      data: { generationProgress: { cursor: '000001' } },
    })
    client.dispose()
    const response = await fetch(`${gateway.url}/graphql/stream?${new URLSearchParams({ query: watch(id) })}`, {
      headers: { accept: 'text/event-stream' },
    })
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer')
  })
})

describe('what is remembered', () => {
  const service = () => {
    const asked = { authenticate: 0, list: 0, revoked: false, keys: [] as object[] }
    return {
      asked,
      async authenticate() {
        asked.authenticate++
        if (asked.revoked) throw new MeshError('UNAUTHENTICATED', 'revoked')
        return { tenant: 'acme', scopes: ['SCOPE_READ' as const] }
      },
      async listApiKeys() {
        asked.list++
        return { apiKeys: asked.keys } as never
      },
    }
  }

  test('an owner, for a while: a revoked key stops to work then', async () => {
    const generation = service()
    const access = createAccess({ mode: 'keys', forThisMachine: true, generation, keepMs: 300 })
    const callers = await Promise.all(Array.from({ length: 20 }, () => access.identify('Bearer k')))
    expect(new Set(callers)).toEqual(new Set([{ tenant: 'acme', scopes: new Set(['READ']) }]))
    expect(generation.asked.authenticate).toBe(1)
    generation.asked.revoked = true
    await expect(access.identify('Bearer k')).resolves.toBeDefined()
    await sleep(320)
    await expect(access.identify('Bearer k')).rejects.toThrow('the API key is unknown or revoked')
  })

  test('a refusal is not: a key works once it is there', async () => {
    const generation = service()
    const access = createAccess({ mode: 'keys', forThisMachine: true, generation })
    generation.asked.revoked = true
    await expect(access.identify('Bearer k')).rejects.toThrow('unknown')
    generation.asked.revoked = false
    await expect(access.identify('Bearer k')).resolves.toMatchObject({ tenant: 'acme' })
  })

  test('that there are no keys, for a while', async () => {
    const generation = service()
    const access = createAccess({ mode: 'auto', forThisMachine: true, generation, keepMs: 300 })
    expect((await access.identify(undefined)).tenant).toBe('local')
    expect((await access.identify(undefined)).tenant).toBe('local')
    expect(generation.asked.list).toBe(1)
    generation.asked.keys = [{ revokeTime: null }]
    await sleep(320)
    await expect(access.identify(undefined)).rejects.toThrow('the header Authorization is missing')
    generation.asked.keys = [{ revokeTime: {} }]
    await sleep(320)
    expect((await access.identify(undefined)).tenant).toBe('local')
  })
})

describe('the start', () => {
  test('others are not listened to without a key', async () => {
    await expect(gatewayWith({ HOST: '0.0.0.0' })).rejects.toThrow(
      'HOST is "0.0.0.0" and there is no API key; allowed: one of loopback such as 127.0.0.1, or any once there is a key',
    )
    await expect(gatewayWith({ HOST: '0.0.0.0', MOMA_AUTH: 'open' })).rejects.toThrow('MOMA_AUTH is "open"')
  })

  test('nor are those that a proxy lets in: a public URL says that there are any', async () => {
    const MOMA_PUBLIC_URL = 'https://moma.example.com'
    await expect(gatewayWith({ MOMA_PUBLIC_URL })).rejects.toThrow(
      `MOMA_PUBLIC_URL is "${MOMA_PUBLIC_URL}" and there is no API key; allowed: one of loopback such as 127.0.0.1, or any once`,
    )
    await expect(gatewayWith({ MOMA_PUBLIC_URL, MOMA_AUTH: 'open' })).rejects.toThrow('MOMA_AUTH is "open"')
    let key = ''
    const gateway = await gatewayWith({ MOMA_PUBLIC_URL }, (generation) => {
      key = generation.addKey()
    })
    gateway.generation.revoke(key)
    expect((await gateway.ask(query)).status).toBe(401)
  })

  test('a public URL of loopback lets nobody else in', async () => {
    for (const host of ['localhost:8080', '127.0.0.1:8080', '[::1]:8080']) {
      const gateway = await gatewayWith({ MOMA_PUBLIC_URL: `http://${host}` })
      expect((await gateway.ask(query)).status).toBe(200)
    }
  })

  test('with keys, anywhere; and then every operation needs one', async () => {
    const gateway = await gatewayWith({ HOST: '0.0.0.0', MOMA_AUTH: 'keys' })
    expect((await gateway.ask(query)).status).toBe(401)
  })

  const generation = { MOMA_GENERATION: '127.0.0.1:1' }
  test.each([
    [{}, 'MOMA_GENERATION is missing; allowed: one host:port or several with commas between.'],
    [{ ...generation, PORT: '70000' }, 'PORT is "70000"; allowed: a whole number from 0 to 65535.'],
    [{ ...generation, MOMA_AUTH: 'maybe' }, 'MOMA_AUTH is "maybe"; allowed: auto, keys, open.'],
    [{ ...generation, MOMA_CORS_ORIGINS: '*' }, 'MOMA_CORS_ORIGINS is "*"; allowed: origins such as'],
    [{ ...generation, MOMA_PUBLIC_URL: 'ftp://x' }, 'MOMA_PUBLIC_URL is not usable; allowed: a URL such as'],
    [{ ...generation, HOST: 'a b' }, 'HOST is "a b"; allowed: a host name or IP address.'],
  ])('%p', (env, message) => {
    expect(() => readGatewayConfig(env)).toThrow(message)
  })
})
