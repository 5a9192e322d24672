import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openNetwork } from './network.ts'
import { createNetworkPool } from './pool.ts'
import type { Recipe } from './recipe.ts'
import { floatTensor, intTensor } from './tensor.ts'
import { startThread } from './thread.ts'

const execution = { provider: 'cpu', threads: 1 } as const
const folder = mkdtempSync(join(tmpdir(), 'moma-runtime-'))
afterAll(() => rmSync(folder, { recursive: true }))

const module = new URL('test-networks.ts', import.meta.url).href
const size = 8
const file = join(folder, 'w.bin')
writeFileSync(file, new Uint8Array(Float32Array.from({ length: size }, (_, index) => index).buffer))
const recipe = (factor: number): Recipe => ({
  name: `scaled by ${factor}`,
  module,
  builder: 'scaled',
  args: [factor, file, size],
})
const ones = (shape: number[]) => {
  const tensor = floatTensor(shape)
  tensor.data.fill(1)
  return tensor
}

test('a network runs in its thread, its weights read from their file', async () => {
  const network = await openNetwork(recipe(3), execution)
  try {
    expect(network.weightBytes).toBe(size * 4)
    await network.load()
    const { y } = await network.run({ x: ones([2, size]) })
    expect(y!.shape).toEqual([2, size])
    expect(Array.from(y!.data, Number).slice(size, size + 3)).toEqual([3, 4, 5])
  } finally {
    await network.dispose()
  }
})

test("what is wrong is said with the network's name, and the network goes on", async () => {
  await expect(openNetwork({ name: 'broken', module, builder: 'broken', args: [] }, execution)).rejects.toThrow(
    'broken: the config has no layers',
  )
  const network = await openNetwork(recipe(1), execution)
  try {
    await network.load()
    await expect(network.run({ x: intTensor([1, size], new Array(size).fill(0)) })).rejects.toThrow('scaled by 1: ')
    expect((await network.run({ x: ones([1, size]) })).y!.data[0]).toBe(1)
  } finally {
    await network.dispose()
  }
  await expect(network.run({ x: ones([1, size]) })).rejects.toThrow('scaled by 1: was disposed')
})

test('the main thread stays free while a network computes', async () => {
  const network = await openNetwork({ name: 'slow', module, builder: 'slow', args: [512, 60] }, execution)
  try {
    await network.load()
    let longest = 0
    let last = performance.now()
    const timer = setInterval(() => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
    }, 5)
    const started = performance.now()
    await network.run({ x: floatTensor([512, 512]) })
    clearInterval(timer)
    const elapsed = performance.now() - started
    // The products take long enough for a blocked thread to show.
    expect(elapsed).toBeGreaterThan(60)
    expect(longest).toBeLessThan(elapsed / 2)
  } finally {
    await network.dispose()
  }
})

test('a network that is disposed while it computes fails its run at once and ends in good order', async () => {
  const network = await openNetwork({ name: 'slow', module, builder: 'slow', args: [512, 60] }, execution)
  await network.load()
  const order: string[] = []
  const run = network.run({ x: floatTensor([512, 512]) }).catch((error: Error) => order.push(error.message))
  // Long enough for the thread to be inside the runtime, where an end by force would take the process along.
  await new Promise((resolve) => setTimeout(resolve, 30))
  const disposed = network.dispose().then(() => order.push('disposed'))
  await Promise.all([run, disposed, network.ended])
  expect(order).toEqual(['slow: was disposed', 'disposed'])
})

test("networks that share a thread leave it one by one, in the middle of each other's runs too", async () => {
  const thread = startThread(execution, 'shared')
  const slow = await openNetwork({ name: 'slow', module, builder: 'slow', args: [512, 60] }, execution, thread)
  const [doubled, tripled] = [
    await openNetwork(recipe(2), execution, thread),
    await openNetwork(recipe(3), execution, thread),
  ]
  for (const network of [slow, doubled, tripled]) await network.load()
  const failed = expect(slow.run({ x: floatTensor([512, 512]) })).rejects.toThrow('slow: was disposed')
  const run = tripled.run({ x: ones([1, size]) })
  await new Promise((resolve) => setTimeout(resolve, 30))
  await Promise.all([failed, slow.dispose(), doubled.dispose()])
  expect((await run).y!.data[0]).toBe(3)
  await expect(doubled.run({ x: ones([1, size]) })).rejects.toThrow('scaled by 2: was disposed')
  await expect(openNetwork({ name: 'broken', module, builder: 'broken', args: [] }, execution, thread)).rejects.toThrow(
    'broken: the config has no layers',
  )
  expect([thread.networks, thread.closed]).toEqual([1, false])
  await tripled.dispose()
  expect(thread.closed).toBe(true)
})

describe('the pool', () => {
  const poolOf = (memoryBytes: number, sharedThreads?: number) => {
    const loads: string[] = []
    const onLoad = ({ name }: { readonly name: string }) => loads.push(name)
    return {
      loads,
      pool: createNetworkPool({ ...execution, memoryBytes, onLoad, ...(sharedThreads && { sharedThreads }) }),
    }
  }
  const runIn = (pool: ReturnType<typeof createNetworkPool>, factor: number) =>
    pool.with(recipe(factor), async (network) => (await network.run({ x: ones([1, size]) })).y!.data[0])

  test.each([undefined, 1, 2])('keeps what fits and lets the least recently used go (threads: %s)', async (threads) => {
    const { pool, loads } = poolOf(2 * size * 4, threads)
    try {
      for (const factor of [1, 2, 1, 3, 1, 2]) expect(await runIn(pool, factor)).toBe(factor)
      // 3 takes the place of 2, which was used longer ago than 1; then 2 that of 3.
      expect(loads).toEqual(['scaled by 1', 'scaled by 2', 'scaled by 3', 'scaled by 2'])
      expect(pool.loaded).toEqual(['scaled by 1', 'scaled by 2'])
      expect(pool.loadedBytes).toBe(2 * size * 4)
    } finally {
      await pool.dispose()
    }
  })

  test('loads a network once for all who ask at the same time', async () => {
    const { pool, loads } = poolOf(1e6)
    try {
      expect(await Promise.all([runIn(pool, 5), runIn(pool, 5), runIn(pool, 5)])).toEqual([5, 5, 5])
      expect(loads).toEqual(['scaled by 5'])
    } finally {
      await pool.dispose()
    }
  })

  test('prepares what fits, and leaves what fails or finds no room to its use', async () => {
    const { pool, loads } = poolOf(2 * size * 4)
    try {
      const broken: Recipe = { name: 'broken', module, builder: 'broken', args: [] }
      pool.prepare([recipe(1), broken, recipe(2)])
      expect(await runIn(pool, 2)).toBe(2)
      expect(await runIn(pool, 1)).toBe(1)
      expect(loads.toSorted()).toEqual(['scaled by 1', 'scaled by 2'])
      pool.prepare([recipe(3)])
      while (pool.loaded.includes('scaled by 3')) await new Promise((resolve) => setTimeout(resolve, 5))
      expect(pool.loaded).toEqual(['scaled by 2', 'scaled by 1'])
      expect(await runIn(pool, 3)).toBe(3)
      expect(pool.loaded).toEqual(['scaled by 1', 'scaled by 3'])
      await expect(pool.with(broken, async () => 0)).rejects.toThrow('the config has no layers')
    } finally {
      await pool.dispose()
    }
  })

  test('tells users of networks that it disposes of, those still being loaded too', async () => {
    const { pool } = poolOf(1e6)
    const slow: Recipe = { name: 'slow', module, builder: 'slow', args: [512, 60] }
    const loading = pool.with(slow, (network) => network.run({ x: floatTensor([512, 512]) }))
    const waiting = runIn(pool, 1)
    await Promise.all([
      pool.dispose(),
      expect(loading).rejects.toThrow(/^slow: (was disposed|the networks were disposed)$/),
      expect(waiting).rejects.toThrow(/^scaled by 1: (was disposed|the networks were disposed)$/),
    ])
    expect(pool.loaded).toEqual([])
  })

  test('a failed load is not kept, and a disposed pool opens nothing', async () => {
    const { pool } = poolOf(1e6)
    const bad: Recipe = { name: 'broken', module, builder: 'broken', args: [] }
    await expect(pool.with(bad, async () => 0)).rejects.toThrow('the config has no layers')
    expect(pool.loaded).toEqual([])
    await pool.dispose()
    await pool.dispose()
    await expect(runIn(pool, 1)).rejects.toThrow('the networks were disposed')
  })
})
