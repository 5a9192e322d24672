import { setTimeout as sleep } from 'node:timers/promises'
import type { Address } from './address.ts'
import { contextContract, visionContract } from './contracts.ts'
import { MeshError } from './errors.ts'
import type { ContextServiceHandlers } from './generated/moma/context/v1/ContextService.ts'
import type { VisionServiceHandlers } from './generated/moma/vision/v1/VisionService.ts'
import { createMeshClient, type MeshClientOptions } from './grpc-client.ts'
import { createMeshServer, type MeshServerOptions } from './grpc-server.ts'
import { createLocalCalls } from './local-calls.ts'
import { callFields, withCallFields } from './log.ts'
import { alwaysReady, type Readiness } from './readiness.ts'
import { type MeshService, type Methods, meshService } from './service.ts'

// Real gRPC on loopback, and calls inside the process; the services are fakes whose answers the tests decide.

type VisionMethods = Methods<VisionServiceHandlers>

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const unused = async (): Promise<never> => {
  throw new TypeError('not part of this test')
}

async function serve(
  methods: Partial<VisionMethods>,
  { address, readiness = alwaysReady, ...options }: ServeOptions = {},
) {
  const whole: VisionMethods = { Segment: unused, EmbedImage: unused, EncodePatches: noChunks, ...methods }
  const service = meshService<VisionServiceHandlers>(visionContract, whole, readiness)
  return host([service], { ...options, ...(address ? { address } : {}) })
}

async function host(
  services: readonly MeshService[],
  { address = { host: '127.0.0.1', port: 0 }, ...options }: Omit<ServeOptions, 'readiness'> = {},
) {
  const local = createLocalCalls()
  const server = createMeshServer({ ...options, services, local })
  cleanups.push(() => server.dispose())
  return { server, address: await server.listen(address), local: { local } }
}
type Where = Pick<MeshClientOptions, 'addresses' | 'local'>
type ServeOptions = Omit<MeshServerOptions, 'services'> & { address?: Address; readiness?: Readiness }

async function* noChunks() {}

function connect(where: Where, options: Partial<MeshClientOptions> = {}) {
  const client = createMeshClient(visionContract, { ...where, deadlineMs: 5000, ...options })
  cleanups.push(() => client.dispose())
  return client
}

const masked = (level: number) => ({ mask: { widthPx: 1, heightPx: 1, shares: Buffer.from([level]) } })
const levelOf = (answer: { mask: { shares: Buffer } | null }) => answer.mask!.shares[0]

/** A readiness that the test switches. */
function switchable(ready: boolean) {
  const listeners = new Set<(ready: boolean) => void>()
  return {
    get ready() {
      return ready
    },
    onChange(listener: (ready: boolean) => void) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    dispose: () => undefined,
    set(next: boolean) {
      ready = next
      for (const listener of listeners) listener(next)
    },
  }
}

async function until(condition: () => boolean, timeoutMs = 5000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > end) throw new Error('it did not come about')
    await sleep(5)
  }
}

test('a server is at every address where it listens', async () => {
  const { server, address } = await serve({ Segment: async () => masked(1) })
  const second = await server.listen({ host: '127.0.0.1', port: 0 })
  for (const one of [address, second]) {
    expect(levelOf(await connect({ addresses: [one] }).unary('Segment', {}))).toBe(1)
  }
  expect(second.port).not.toBe(address.port)
})

const network = ({ address }: { address: Address }): Where => ({ addresses: [address] })
const inside = ({ local }: { local: Where }): Where => local

describe.each([
  { name: 'over the network', at: network },
  { name: 'inside the process', at: inside },
])('$name', ({ at }) => {
  test('a call goes there and back, with its fields', async () => {
    const served = await serve({
      Segment: async ({ photo }) => {
        expect(callFields()).toEqual({ generationId: 'g-1', requestId: 'r-1' })
        return masked(photo!.widthPx)
      },
    })
    const answer = await withCallFields({ generationId: 'g-1', requestId: 'r-1' }, () =>
      connect(at(served)).unary('Segment', { photo: { widthPx: 7 } }),
    )
    expect(levelOf(answer)).toBe(7)
  })

  describe('errors', () => {
    test.each([
      ['MeshError', new MeshError('RESOURCE_EXHAUSTED', 'vision is full'), 'RESOURCE_EXHAUSTED', 'vision is full'],
      ['RangeError', new RangeError('steps is 0, allowed is 1'), 'INVALID_ARGUMENT', 'steps is 0, allowed is 1'],
      ['a fault', new Error('ENOENT: /srv/secret/unet.onnx'), 'INTERNAL', 'vision: something went wrong'],
    ])('%s arrives with its code and a sentence without paths', async (_, error, code, message) => {
      const served = await serve({
        Segment: async () => {
          throw error
        },
      })
      await expect(connect(at(served)).unary('Segment', {})).rejects.toMatchObject({ name: 'MeshError', code, message })
    })

    test('a message that is too large is refused by its receiver', async () => {
      const served = await serve({ Segment: async () => masked(1) }, { maxMessageBytes: 10_000 })
      const photo = { widthPx: 100, heightPx: 100, rgb: Buffer.alloc(30_000) }
      await expect(connect(at(served)).unary('Segment', { photo })).rejects.toMatchObject({
        code: 'RESOURCE_EXHAUSTED',
      })
    })
  })

  describe('time', () => {
    test("the deadline ends the call and aborts the method's signal", async () => {
      let stopped = false
      const served = await serve({
        Segment: async (_, { signal }) => {
          await sleep(10_000, undefined, { signal }).catch(() => {
            stopped = true
          })
          return masked(1)
        },
      })
      const client = connect(at(served), { deadlinesMs: { Segment: 200 } })
      await expect(client.unary('Segment', {})).rejects.toMatchObject({
        code: 'DEADLINE_EXCEEDED',
        message: 'vision took too long',
      })
      await until(() => stopped)
    })

    test('an answer has its own time, from when a copy was picked, however long one was waited for', async () => {
      const readiness = switchable(false)
      let isStuck = false
      const served = await serve(
        { Segment: async () => (isStuck ? new Promise<never>(() => undefined) : masked(1)) },
        { readiness },
      )
      const client = connect(at(served), { answerMs: 300, waitMs: 5000, deadlineMs: 30_000 })
      setTimeout(() => readiness.set(true), 600)
      expect(levelOf(await client.unary('Segment', {}))).toBe(1)
      isStuck = true
      const began = performance.now()
      await expect(client.unary('Segment', {})).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
      expect(performance.now() - began).toBeLessThan(5000)
    }, 20_000)

    test('a server has its own longest call', async () => {
      const served = await serve(
        { Segment: async (_, { signal }) => sleep(10_000, masked(1), { signal }) },
        { maxCallMs: 100 },
      )
      await expect(connect(at(served)).unary('Segment', {})).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
    })

    test("an aborted signal cancels the call, which throws the signal's reason", async () => {
      const stop = new AbortController()
      let stopped = false
      const served = await serve({
        Segment: async (_, { signal }) => {
          signal.addEventListener('abort', () => {
            stopped = true
          })
          stop.abort(new Error('changed my mind'))
          return sleep(10_000, masked(1), { signal })
        },
      })
      await expect(connect(at(served)).unary('Segment', {}, stop.signal)).rejects.toThrow('changed my mind')
      await until(() => stopped)
    })
  })

  describe('streams', () => {
    const megabyte = Buffer.alloc(2 ** 20)

    test('a slow reader holds the writer back, and leaving the loop ends it', async () => {
      let made = 0
      let ended = false
      const served = await serve({
        async *EncodePatches() {
          try {
            for (; made < 1000; made++) yield { chunk: { data: megabyte } }
          } finally {
            ended = true
          }
        },
      })
      for await (const _ of connect(at(served)).serverStream('EncodePatches', {})) {
        await sleep(300)
        break
      }
      // Two windows, the buffers of both ends and the message in hand; far from a thousand.
      expect(made).toBeLessThan(60)
      await until(() => ended)
    })

    test('requests stream too; one that fails ends the call', async () => {
      let wasGone = false
      const methods: Methods<ContextServiceHandlers> = {
        async EmbedContext(requests, { signal }) {
          signal.addEventListener('abort', () => {
            wasGone = true
          })
          let bytes = 0
          for await (const { features } of requests) bytes += features?.data?.length ?? 0
          return { embedding: { shape: [bytes] } }
        },
      }
      const service = meshService<ContextServiceHandlers>(contextContract, methods, alwaysReady)
      const served = await host([service])
      const client = createMeshClient(contextContract, { ...at(served), deadlineMs: 5000 })
      cleanups.push(() => client.dispose())
      async function* pieces(count: number) {
        for (let index = 0; index < 6; index++) {
          if (index === count) throw new Error('no more')
          yield { features: { data: megabyte } }
        }
      }
      const whole = await client.clientStream('EmbedContext', () => pieces(6))
      expect(whole.embedding!.shape).toEqual([6 * megabyte.length])
      wasGone = false
      const broken = client.clientStream('EmbedContext', () => pieces(2))
      await expect(broken).rejects.toMatchObject({ name: 'MeshError', code: 'CANCELLED' })
      await until(() => wasGone)
    })

    test('it is begun anew where nothing has arrived yet, and only there', async () => {
      let calls = 0
      const served = await serve({
        async *EncodePatches() {
          calls++
          if (calls === 2) yield { chunk: { data: Buffer.from([calls]) } }
          throw new MeshError('UNAVAILABLE', 'vision: gone for a moment')
        },
      })
      const seen: number[] = []
      const read = async () => {
        for await (const { chunk } of connect(at(served)).serverStream('EncodePatches', {})) seen.push(chunk!.data![0]!)
      }
      await expect(read()).rejects.toMatchObject({ code: 'UNAVAILABLE', message: 'vision: gone for a moment' })
      expect({ calls, seen }).toEqual({ calls: 2, seen: [2] })
    })
  })

  describe('readiness', () => {
    test('one that is not ready is not asked, and a call waits for one that is', async () => {
      const readiness = switchable(false)
      const served = await serve({ Segment: async () => masked(1) }, { readiness })
      const client = connect(at(served), { waitMs: 300 })
      await expect(client.unary('Segment', {})).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        message: 'vision is not available: none of its 1 addresses serves',
      })
      setTimeout(() => readiness.set(true), 100)
      expect(levelOf(await client.unary('Segment', {}))).toBe(1)
      readiness.set(false)
      await until(() => client.serving === 0)
    })

    test('what found nobody is tried again, a few times', async () => {
      let calls = 0
      const served = await serve({
        Segment: async () => {
          if (++calls < 3) throw new MeshError('UNAVAILABLE', 'vision: gone for a moment')
          return masked(1)
        },
      })
      const retry = { attempts: 4, firstMs: 1, largestMs: 1 }
      const client = connect(at(served), { retry })
      expect(levelOf(await client.unary('Segment', {}))).toBe(1)
      expect(calls).toBe(3)
      calls = -100
      await expect(client.unary('Segment', {})).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      expect(calls).toBe(-96)
    })
  })

  describe('drain', () => {
    test('finishes what is under way, takes nothing new, and says so', async () => {
      const go = Promise.withResolvers<void>()
      let started = false
      const served = await serve({
        Segment: async () => {
          started = true
          await go.promise
          return masked(1)
        },
      })
      const client = connect(at(served), { waitMs: 100 })
      const underWay = client.unary('Segment', {})
      await until(() => started)
      const drained = served.server.drain(5000)
      await until(() => client.serving === 0)
      await expect(client.unary('Segment', {})).rejects.toMatchObject({ code: 'UNAVAILABLE' })
      go.resolve()
      expect(levelOf(await underWay)).toBe(1)
      await drained
    })

    test('ends what takes too long', async () => {
      let started = false
      const served = await serve({
        Segment: async (_, { signal }) => {
          started = true
          return sleep(60_000, masked(1), { signal })
        },
      })
      const client = connect(at(served), { waitMs: 100 })
      const underWay = client.unary('Segment', {})
      underWay.catch(() => undefined)
      await until(() => started)
      const begun = performance.now()
      await served.server.drain(100)
      expect(performance.now() - begun).toBeLessThan(1000)
      await expect(underWay).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    })
  })
  test('what is read is no memory of the other side', async () => {
    const sent = Buffer.from([1, 2, 3])
    let received: Buffer | undefined
    const served = await serve({
      Segment: async ({ photo }) => {
        received = photo!.rgb
        return { mask: { widthPx: 1, heightPx: 1, shares: sent } }
      },
    })
    const answer = await connect(at(served)).unary('Segment', { photo: { rgb: sent } })
    sent.fill(0)
    expect([...received!, ...answer.mask!.shares]).toEqual([1, 2, 3, 1, 2, 3])
    expect(answer.mask!.widthPx).toBe(1)
  })
})

describe('several addresses', () => {
  test('take turns; one that is gone is left out until it is back', async () => {
    const [one, two] = [
      await serve({ Segment: async () => masked(1) }),
      await serve({ Segment: async () => masked(2) }),
    ]
    const client = connect({ addresses: [one.address, two.address] })
    await until(() => client.serving === 2)
    const ask = async (times: number) => {
      const levels = []
      for (let time = 0; time < times; time++) levels.push(levelOf(await client.unary('Segment', {})))
      return levels.sort()
    }
    expect(await ask(4)).toEqual([1, 1, 2, 2])
    await one.server.dispose()
    expect(await ask(4)).toEqual([2, 2, 2, 2])
    await serve({ Segment: async () => masked(3) }, { address: one.address })
    await until(() => client.serving === 2, 10_000)
    expect(await ask(4)).toEqual([2, 2, 3, 3])
  }, 20_000)
})

test('a server that drains serves its own process until the work that needs it is done', async () => {
  const served = await serve({ Segment: async () => masked(1) })
  const outside = connect(network(served), { waitMs: 100 })
  const client = connect(inside(served), { waitMs: 100 })
  await outside.unary('Segment', {})
  const work = Promise.withResolvers<void>()
  const drained = served.server.drain(0, work.promise)
  await expect(outside.unary('Segment', {})).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  expect(levelOf(await client.unary('Segment', {}))).toBe(1)
  work.resolve()
  await drained
  await expect(client.unary('Segment', {})).rejects.toMatchObject({ code: 'UNAVAILABLE' })
})
