import { setTimeout as sleep } from 'node:timers/promises'
import { hasNatsServer, type NatsServer, startNatsServer } from '../../../../test/nats.ts'
import { connectNats, type Nats } from '../nats.ts'
import type { Event, Events, EventsOptions } from './events.ts'
import { createMemoryEvents } from './memory-events.ts'
import { createNatsEvents } from './nats-events.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const bytes = (text: string) => Buffer.from(text)
const textOf = ({ data }: Event) => Buffer.from(data).toString()

/** The first `count` events; fails when they don't come within seconds. */
async function take(events: Events, topic: string, after: string | null, count: number, timeoutMs = 10_000) {
  const taken: Event[] = []
  if (count === 0) return taken
  for await (const event of events.subscribe(topic, after, AbortSignal.timeout(timeoutMs))) {
    taken.push(event)
    if (taken.length === count) return taken
  }
  throw new Error(`only ${taken.length} of ${count} events came`)
}

const takeTexts = async (...asked: Parameters<typeof take>) => (await take(...asked)).map(textOf)

/** All that comes within a while. */
async function during(events: Events, topic: string, after: string | null, ms = 200): Promise<string[]> {
  const seen: string[] = []
  for await (const event of events.subscribe(topic, after, AbortSignal.timeout(ms))) seen.push(textOf(event))
  return seen
}

/** What every implementation does. */
function suite(create: (options?: Partial<EventsOptions>) => Promise<Events>) {
  test('who comes late gets the latest, then what happens, of its own topic alone', async () => {
    const events = await create()
    await events.publish('t', bytes('one'))
    await events.publish('t', bytes('two'))
    await events.publish('other', bytes('not yours'))
    const taken = takeTexts(events, 't', null, 2)
    await sleep(100)
    await events.publish('other', bytes('nor this'))
    await events.publish('t', bytes('three'))
    expect(await taken).toEqual(['two', 'three'])
  })

  test('who comes first waits for what happens', async () => {
    const events = await create()
    const taken = takeTexts(events, 't', null, 1)
    await sleep(100)
    await events.publish('t', bytes('one'))
    expect(await taken).toEqual(['one'])
    expect(await during(events, 'empty', null)).toEqual([])
  })

  test('who comes back with its cursor misses nothing and gets nothing twice', async () => {
    const events = await create()
    const published: string[] = []
    for (const text of ['one', 'two', 'three']) published.push(await events.publish('t', bytes(text)))
    const [first] = await take(events, 't', published[0]!, 1)
    expect([textOf(first!), first!.cursor]).toEqual(['two', published[1]])
    expect(await takeTexts(events, 't', first!.cursor, 1)).toEqual(['three'])
    const behindAll = during(events, 't', published[2]!, 300)
    await sleep(100)
    await events.publish('t', bytes('four'))
    expect(await behindAll).toEqual(['four'])
  })

  test.each(['', 'nonsense', 'abc-7', `${'9'.repeat(40)}-1`])(
    'with the unknown cursor "%s" the latest comes',
    async (cursor) => {
      const events = await create()
      await events.publish('t', bytes('one'))
      await events.publish('t', bytes('two'))
      expect(await during(events, 't', cursor)).toEqual(['two'])
    },
  )

  test('the oldest of a topic go first', async () => {
    const events = await create({ maxPerTopic: 3 })
    const [first] = [await events.publish('t', bytes('0'))]
    for (let number = 1; number < 6; number++) await events.publish('t', bytes(String(number)))
    expect(await during(events, 't', first)).toEqual(['3', '4', '5'])
  })

  test('what is too old goes', async () => {
    const events = await create({ maxAgeMs: 300 })
    const cursor = await events.publish('t', bytes('old'))
    expect(await during(events, 't', null, 100)).toEqual(['old'])
    await sleep(1200)
    expect(await during(events, 't', null, 100)).toEqual([])
    const after = during(events, 't', cursor, 300)
    await sleep(100)
    await events.publish('t', bytes('new'))
    expect(await after).toEqual(['new'])
  })

  test('a subscriber that does not read loses the oldest, beyond a bound', async () => {
    const events = await create({ maxQueued: 10 })
    const stop = new AbortController()
    cleanups.push(() => stop.abort())
    const iterator = events.subscribe('t', null, stop.signal)[Symbol.asyncIterator]()
    const first = iterator.next()
    await sleep(100)
    await events.publish('t', bytes('first'))
    expect(textOf((await first).value)).toBe('first')
    for (let number = 0; number < 50; number++) await events.publish('t', bytes(String(number)))
    await sleep(100)
    const seen: string[] = []
    for (let number = 0; number < 10; number++) seen.push(textOf((await iterator.next()).value))
    expect(seen).toEqual(Array.from({ length: 10 }, (_, number) => String(40 + number)))
  })

  test('a thousand subscribers of one topic get all of it', async () => {
    const events = await create()
    const all = Array.from({ length: 1000 }, () => takeTexts(events, 't', null, 20))
    await sleep(200)
    const expected = Array.from({ length: 20 }, (_, number) => String(number))
    for (const text of expected) await events.publish('t', bytes(text))
    for (const texts of await Promise.all(all)) expect(texts).toEqual(expected)
  })

  test('an aborted subscription ends, so does every one when the events are closed', async () => {
    const events = await create()
    expect(await during(events, 't', null, 20)).toEqual([])
    const open = during(events, 't', null, 60_000)
    await sleep(50)
    await events[Symbol.asyncDispose]()
    expect(await open).toEqual([])
    await expect(events.publish('t', bytes('x'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  test('a topic that can not be carried is refused', async () => {
    const events = await create()
    await expect(events.publish('a.>', bytes(''))).rejects.toThrow('topic is "a.>", allowed are 1 to 128 letters')
  })
}

describe('in memory', () => {
  suite(async (options) => {
    const events = createMemoryEvents(options)
    cleanups.push(() => events[Symbol.asyncDispose]())
    return events
  })
})

const describeNats = hasNatsServer ? describe : describe.skip

describeNats('over NATS', () => {
  let server: NatsServer
  let streams = 0
  beforeAll(async () => {
    server = await startNatsServer()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  async function open(): Promise<Nats> {
    const nats = await connectNats({ url: server.url, timeoutMs: 1000 })
    cleanups.push(() => nats[Symbol.asyncDispose]())
    return nats
  }
  const create = async (options: Partial<EventsOptions> = {}, stream = `TEST_EVENTS${++streams}`) => {
    const events = await createNatsEvents({ nats: await open(), ...options, stream })
    cleanups.push(() => events[Symbol.asyncDispose]())
    return events
  }
  suite(create)

  /** Refused as long as the connection is not back. */
  async function publishSoon(events: Events, topic: string, text: string): Promise<string> {
    for (let tries = 0; ; tries++) {
      try {
        return await events.publish(topic, bytes(text))
      } catch (error) {
        if (tries > 200) throw error
        await sleep(50)
      }
    }
  }

  test('all subscribers of a topic in one process share one consumer, which goes with the last', async () => {
    const [events, nats] = [await create(), await open()]
    const stream = `TEST_EVENTS${streams}`
    const stop = new AbortController()
    const texts: string[] = []
    const all = Array.from({ length: 50 }, async () => {
      for await (const event of events.subscribe('t', null, stop.signal)) texts.push(textOf(event))
    })
    await sleep(100)
    await events.publish('t', bytes('one'))
    while (texts.length < 50) await sleep(5)
    const consumers = async () => (await nats.manager.streams.info(stream)).state.consumer_count
    expect(await consumers()).toBe(1)
    stop.abort()
    await Promise.all(all)
    for (let tries = 0; tries < 100 && (await consumers()) > 0; tries++) await sleep(20)
    expect(await consumers()).toBe(0)
  })

  test('a cursor of one process is good in another', async () => {
    const one = await create()
    const two = await create({}, `TEST_EVENTS${streams}`)
    const cursor = await one.publish('t', bytes('one'))
    await one.publish('t', bytes('two'))
    expect(await takeTexts(two, 't', cursor, 1)).toEqual(['two'])
  })

  test('a server that stops and comes back: publishing fails meanwhile, subscriptions miss nothing', async () => {
    const events = await create()
    await events.publish('t', bytes('before'))
    const taken = takeTexts(events, 't', null, 3, 20_000)
    await sleep(100)
    await server.stop()
    await expect(events.publish('t', bytes('lost'))).rejects.toMatchObject({ name: 'MeshError', code: 'UNAVAILABLE' })
    await server.start()
    await publishSoon(events, 't', 'after')
    await publishSoon(events, 't', 'and on')
    expect(await taken).toEqual(['before', 'after', 'and on'])
  }, 30_000)

  test('a server that has lost its store: subscriptions go on with what comes', async () => {
    const events = await create()
    const old = [await events.publish('t', bytes('one')), await events.publish('t', bytes('two'))]
    const taken = takeTexts(events, 't', null, 3, 20_000)
    await sleep(100)
    await server.stop()
    await server.start({ loseStore: true })
    await publishSoon(events, 't', 'new')
    await publishSoon(events, 't', 'newer')
    expect(await taken).toEqual(['two', 'new', 'newer'])
    // A cursor from before is not known any more, although its number would be.
    expect(await during(events, 't', old[0]!)).toEqual(['newer'])
  }, 30_000)

  test('a stream that somebody deletes is made anew', async () => {
    const [events, nats] = [await create(), await open()]
    const taken = takeTexts(events, 't', null, 2, 25_000)
    await sleep(100)
    await events.publish('t', bytes('one'))
    await sleep(100)
    await nats.manager.streams.delete(`TEST_EVENTS${streams}`)
    await events.publish('t', bytes('two'))
    expect(await taken).toEqual(['one', 'two'])
  }, 30_000)
})
