import { setTimeout as sleep } from 'node:timers/promises'
import { createWrites } from './writes.ts'

function open(enterStages: () => Promise<boolean> = async () => true) {
  const told: unknown[] = []
  const done: string[] = []
  const writes = createWrites({
    enterStages: (entered) => {
      done.push(entered.map(({ stage }) => stage).join(' '))
      return enterStages()
    },
    fenced: () => new Error('fenced off'),
    onStopped: (reason) => told.push(reason),
  })
  const write = (name: string, ms: number, result: boolean | Error = true) =>
    writes.write(async (entered) => {
      await sleep(ms)
      done.push([name, ...entered.map(({ stage }) => stage)].join(' '))
      if (result instanceof Error) throw result
      return result
    })
  return { writes, write, told, done }
}

test('writes are done in the order of asking, however long each takes', async () => {
  const { writes, write, told, done } = open()
  void write('a', 10)
  void write('b', 1)
  await write('c', 0)
  expect(done).toEqual(['a', 'b', 'c'])
  void write('d', 1)
  await writes.settled()
  expect(done).toEqual(['a', 'b', 'c', 'd'])
  expect(told).toEqual([])
})

test('stages are written soon by themselves, together, or with the next write', async () => {
  const { writes, write, done } = open()
  writes.enter('REVIEW_INPUT')
  writes.enter('VISION')
  await sleep(100)
  expect(done).toEqual(['REVIEW_INPUT VISION'])
  writes.enter('DENOISE')
  await write('a', 0)
  await sleep(100)
  expect(done).toEqual(['REVIEW_INPUT VISION', 'a DENOISE'])
  writes.enter('STORE')
  await writes.settled()
  expect(done.slice(2)).toEqual(['STORE'])
})

test.each([
  ['did nothing', false, 'fenced off'],
  ['failed', new Error('the database is away'), 'the database is away'],
])('after one that %s none is done, and why is told once', async (_, result, reason) => {
  const { writes, write, told, done } = open()
  void write('a', 1)
  const failing = write('b', 1, result)
  const next = write('c', 1)
  await expect(failing).rejects.toThrow(reason)
  await expect(next).rejects.toThrow(reason)
  writes.enter('STORE')
  await sleep(100)
  await expect(writes.settled()).rejects.toThrow(reason)
  expect(done).toEqual(['a', 'b'])
  expect(told).toEqual([expect.objectContaining({ message: reason })])
})

test('a stage that could not be written is told, though nobody waits for it', async () => {
  const { writes, told } = open(async () => false)
  writes.enter('VISION')
  await sleep(100)
  expect(told).toEqual([expect.objectContaining({ message: 'fenced off' })])
})
