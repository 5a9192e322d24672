import { MeshError } from '../../lib/mesh/errors.ts'
import type { Progress__Output as Progress } from '../../lib/mesh/generated/moma/generation/v1/Progress.ts'
import { createProgressFeed } from './progress-feed.ts'

/** A service with one generation, whose snapshots 1, 2, 3, … the test adds. */
function service() {
  const log: Progress[] = []
  let wake = Promise.withResolvers<void>()
  const state = { streams: 0, open: 0, canceled: 0, failure: null as MeshError | null, ended: false }
  const change = (more: () => void) => {
    more()
    wake.resolve()
    wake = Promise.withResolvers()
  }
  return {
    state,
    add(count = 1, status: Progress['status'] = 'GENERATION_STATUS_RUNNING') {
      change(() => {
        for (let k = 0; k < count; k++) log.push({ cursor: String(log.length + 1), status } as Progress)
      })
    },
    end: () => change(() => Object.assign(state, { ended: true })),
    fail: (failure: MeshError) => change(() => Object.assign(state, { failure })),
    async *watchGeneration({ after = '' }: { after?: string }, signal?: AbortSignal) {
      state.streams++
      state.open++
      const aborted = new Promise<void>((resolve) => signal!.addEventListener('abort', () => resolve(), { once: true }))
      void aborted.then(() => state.canceled++)
      try {
        const seen = log.findIndex(({ cursor }) => cursor === after)
        for (let next = seen < 0 ? Math.max(0, log.length - 1) : seen + 1; ; next++) {
          while (next >= log.length && !state.ended && !state.failure && !signal!.aborted) {
            await Promise.race([wake.promise, aborted])
          }
          signal!.throwIfAborted()
          if (state.failure) throw state.failure
          if (next >= log.length) return
          yield { progress: log[next]! }
        }
      } finally {
        state.open--
      }
    },
  }
}

const never = new AbortController().signal
const asked = { tenant: 'local', id: 'g', after: '' }
const cursorOf = async (watch: AsyncGenerator<Progress>) => (await watch.next()).value?.cursor

test('watchers share a stream; a newcomer gets the latest at once', async () => {
  const generation = service()
  using feed = createProgressFeed(generation)
  generation.add()
  const first = feed.watch(asked, never)
  expect(await cursorOf(first)).toBe('1')
  generation.add()
  expect(await cursorOf(first)).toBe('2')
  const second = feed.watch(asked, never)
  expect(await cursorOf(second)).toBe('2')
  generation.add()
  expect(await Promise.all([cursorOf(first), cursorOf(second)])).toEqual(['3', '3'])
  expect(generation.state.streams).toBe(1)
})

test('the stream ends with its last watcher, not before', async () => {
  const generation = service()
  using feed = createProgressFeed(generation)
  generation.add()
  const watches = [feed.watch(asked, never), feed.watch(asked, never)]
  for (const watch of watches) await cursorOf(watch)
  await watches[0]!.return()
  expect(feed.streams).toBe(1)
  await watches[1]!.return()
  await new Promise(setImmediate)
  expect([feed.streams, generation.state.open]).toEqual([0, 0])
})

test('a cursor that is kept goes on from there; another one has a stream of its own', async () => {
  const generation = service()
  using feed = createProgressFeed(generation)
  generation.add(5)
  const latest = feed.watch(asked, never)
  expect(await cursorOf(latest)).toBe('5')
  generation.add(2)
  expect([await cursorOf(latest), await cursorOf(latest)]).toEqual(['6', '7'])
  const back = feed.watch({ ...asked, after: '6' }, never)
  expect(await cursorOf(back)).toBe('7')
  expect(generation.state.streams).toBe(1)
  const older = feed.watch({ ...asked, after: '2' }, never)
  expect(await cursorOf(older)).toBe('3')
  const alike = feed.watch({ ...asked, after: '2' }, never)
  expect(await cursorOf(alike)).toBe('3')
  expect(generation.state.streams).toBe(2)
})

test('generations and tenants are kept apart', async () => {
  const generation = service()
  using feed = createProgressFeed(generation)
  generation.add()
  for (const request of [asked, { ...asked, id: 'other' }, { ...asked, tenant: 'other' }]) {
    await cursorOf(feed.watch(request, never))
  }
  expect(generation.state.streams).toBe(3)
})

test('a watcher ends with the end, without waiting for the stream, which is let end by itself', async () => {
  const generation = service()
  using feed = createProgressFeed(generation)
  const watch = feed.watch(asked, never)
  generation.add(1, 'GENERATION_STATUS_SUCCEEDED')
  expect(await cursorOf(watch)).toBe('1')
  expect(await watch.next()).toEqual({ done: true, value: undefined })
  expect(feed.streams).toBe(0)
  expect(generation.state).toMatchObject({ open: 1, canceled: 0 })
})

test('a watcher that falls behind loses the oldest and gets the rest', async () => {
  const generation = service()
  using feed = createProgressFeed(generation, { kept: 3 })
  generation.add()
  const slow = feed.watch(asked, never)
  expect(await cursorOf(slow)).toBe('1')
  generation.add(9)
  generation.end()
  while (feed.streams > 0) await new Promise(setImmediate)
  const rest: string[] = []
  for await (const { cursor } of slow) rest.push(cursor)
  expect(rest).toEqual(['8', '9', '10'])
})

test('what the stream ends with is told to all, and the next one begins anew', async () => {
  const generation = service()
  using feed = createProgressFeed(generation)
  const watches = [feed.watch(asked, never), feed.watch(asked, never)]
  const outcomes = Promise.all(watches.map((watch) => watch.next().catch((error) => error.code)))
  await new Promise(setImmediate)
  generation.fail(new MeshError('NOT_FOUND', 'there is no generation g'))
  expect(await outcomes).toEqual(['NOT_FOUND', 'NOT_FOUND'])
  expect(feed.streams).toBe(0)
})

test('one more stream than may be is refused', async () => {
  const generation = service()
  using feed = createProgressFeed(generation, { maxStreams: 1 })
  generation.add()
  const watch = feed.watch(asked, never)
  await cursorOf(watch)
  await expect(feed.watch({ ...asked, id: 'other' }, never).next()).rejects.toMatchObject({
    code: 'RESOURCE_EXHAUSTED',
    message: '1 generations are watched here, at most 1 can be; try again later',
  })
  expect(await cursorOf(feed.watch(asked, never))).toBe('1')
})

test('an aborted signal wakes a watcher that waits', async () => {
  const generation = service()
  using feed = createProgressFeed(generation)
  const stop = new AbortController()
  const waiting = feed.watch(asked, stop.signal).next()
  await new Promise(setImmediate)
  stop.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await new Promise(setImmediate)
  expect([feed.streams, generation.state.open]).toEqual([0, 0])
})
