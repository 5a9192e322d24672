import { setImmediate as nextTurn } from 'node:timers/promises'
import { createSlots } from './slots.ts'

test('lines are served in turn, each in the order of asking', async () => {
  const slots = createSlots('test', { slots: 1, queue: 4 })
  const served: string[] = []
  const calls = ['a1', 'a2', 'a3', 'a4', 'a5', 'b1', 'b2', 'c1'].map(async (name) => {
    using place = await slots.acquire(undefined, name[0])
    served.push(name)
    await nextTurn()
    // Given back once, however often it is said.
    place[Symbol.dispose]()
  })
  expect(slots).toMatchObject({ busy: 1, waiting: 7 })
  await Promise.all(calls)
  expect(served).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4', 'a5'])
  expect(slots).toMatchObject({ busy: 0, waiting: 0 })
})

test('a full line refuses, and keeps nobody out of another', async () => {
  const slots = createSlots('test', { slots: 1, queue: 1 })
  const first = await slots.acquire(undefined, 'a')
  const second = slots.acquire(undefined, 'a')
  await expect(slots.acquire(undefined, 'a')).rejects.toMatchObject({
    code: 'RESOURCE_EXHAUSTED',
    message: 'test is full: 1 calls are running and 1 wait, at most 1 and 1 may; try again later',
  })
  const other = slots.acquire(undefined, 'b')
  first[Symbol.dispose]()
  const place = await second
  expect(slots).toMatchObject({ busy: 1, waiting: 1 })
  place[Symbol.dispose]()
  using _ = await other
})

test('a line that has all the places of one waits, whatever is free, and holds up no other', async () => {
  const slots = createSlots('test', { slots: 3, perLine: 2, queue: 1 })
  const own = await Promise.all([1, 2].map(() => slots.acquire(undefined, 'a')))
  const third = slots.acquire(undefined, 'a')
  expect(slots).toMatchObject({ busy: 2, waiting: 1 })
  await expect(slots.acquire(undefined, 'a')).rejects.toMatchObject({
    message: 'test is full: 2 calls are running and 1 wait, at most 2 and 1 may; try again later',
  })
  const other = await slots.acquire(undefined, 'b')
  const last = slots.acquire(undefined, 'c')
  expect(slots).toMatchObject({ busy: 3, waiting: 2 })
  // Whose turn it would be has all its places.
  other[Symbol.dispose]()
  const passed = await last
  expect(slots).toMatchObject({ busy: 3, waiting: 1 })
  own[0]![Symbol.dispose]()
  for (const place of [await third, own[1]!, passed]) place[Symbol.dispose]()
  expect(slots).toMatchObject({ busy: 0, waiting: 0 })
})

test('one that leaves before its turn has none, and its line goes on', async () => {
  const slots = createSlots('test', { slots: 1, queue: 4 })
  const stop = new AbortController()
  const first = await slots.acquire(undefined, 'a')
  const leaving = ['a', 'b'].map((line) => slots.acquire(stop.signal, line))
  const staying = slots.acquire(undefined, 'a')
  stop.abort(new Error('gone'))
  for (const place of leaving) await expect(place).rejects.toThrow('gone')
  expect(slots).toMatchObject({ busy: 1, waiting: 1 })
  first[Symbol.dispose]()
  using _ = await staying
  expect(slots).toMatchObject({ busy: 1, waiting: 0 })
  await expect(slots.acquire(stop.signal)).rejects.toThrow('gone')
})
