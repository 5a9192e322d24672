import { setTimeout as sleep } from 'node:timers/promises'
import { createWrites } from './writes.ts'

const fenced = () => new Error('fenced off')

function open() {
  const told: unknown[] = []
  const done: string[] = []
  const writes = createWrites(fenced, (reason) => told.push(reason))
  const write =
    (name: string, ms: number, result: boolean | Error = true) =>
    async () => {
      await sleep(ms)
      done.push(name)
      if (result instanceof Error) throw result
      return result
    }
  return { writes, write, told, done }
}

test('are done in the order of asking, however long each takes', async () => {
  const { writes, write, told, done } = open()
  writes.begin(write('a', 10))
  writes.begin(write('b', 1))
  await writes.write(write('c', 0))
  expect(done).toEqual(['a', 'b', 'c'])
  writes.begin(write('d', 1))
  await writes.settled()
  expect(done).toEqual(['a', 'b', 'c', 'd'])
  expect(told).toEqual([])
})

test.each([
  ['did nothing', false, 'fenced off'],
  ['failed', new Error('the database is away'), 'the database is away'],
])('after one that %s none is done, and why is told once', async (_, result, reason) => {
  const { writes, write, told, done } = open()
  writes.begin(write('a', 1))
  writes.begin(write('b', 1, result))
  writes.begin(write('c', 1))
  await expect(writes.write(write('d', 1))).rejects.toThrow(reason)
  await expect(writes.settled()).rejects.toThrow(reason)
  expect(done).toEqual(['a', 'b'])
  expect(told).toEqual([expect.objectContaining({ message: reason })])
})
