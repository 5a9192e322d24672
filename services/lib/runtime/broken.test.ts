import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { translateError } from '../mesh/errors.ts'
import { networkReadiness } from '../mesh/readiness.ts'
import type { NetworkError } from './errors.ts'
import { createNetworkPool, type NetworkPool } from './pool.ts'
import type { Recipe } from './recipe.ts'
import { floatTensor } from './tensor.ts'
import { type DeviceState, testProvider } from './test-device.ts'

// What becomes of networks whose device fails at everything from some moment on.

const folder = mkdtempSync(join(tmpdir(), 'moma-broken-'))
afterAll(() => rmSync(folder, { recursive: true }))

const size = 4
const weights = join(folder, 'w.bin')
writeFileSync(weights, new Uint8Array(new Float32Array(size).buffer))
const stateFile = join(folder, 'device')
const device = (state: DeviceState) => writeFileSync(stateFile, state)
const recipe = (factor: number): Recipe => ({
  name: `scaled by ${factor}`,
  module: new URL('test-device.ts', import.meta.url).href,
  builder: 'onDevice',
  args: [stateFile, factor, weights, size],
})

let pool: NetworkPool
let lost: string[]
let breaks: [network: string, inARow: number][]
beforeEach(() => {
  device('computes')
  lost = []
  breaks = []
  pool = createNetworkPool({
    provider: testProvider,
    threads: 1,
    memoryBytes: 2 ** 20,
    onBroken: ({ network }, inARow) => breaks.push([network, inARow]),
  })
  pool.onLost(({ name }) => lost.push(name))
})
afterEach(() => pool.dispose())

const run = (factor: number, value = 1) =>
  pool.with(recipe(factor), async (network) => {
    const x = floatTensor([1, size])
    x.data.fill(value)
    return (await network.run({ x })).y!.data[0]
  })
const failure = (work: Promise<unknown>) =>
  work.then(
    () => null,
    (error: NetworkError) => error,
  )

test('what a network can not take is its own failure, however often', async () => {
  expect(await run(3)).toBe(3)
  for (let time = 0; time < 8; time++) {
    const error = (await failure(run(3, Number.NaN)))!
    expect([error.lost, translateError(error, 'denoise').code]).toEqual([false, 'INTERNAL'])
  }
  expect([lost, breaks, pool.loaded]).toEqual([[], [], ['scaled by 3']])
  expect(await run(3)).toBe(3)
})

test.each<DeviceState>(['fails at everything', 'fails at runs'])(
  'a device that %s loses the network',
  async (state) => {
    expect(await run(3)).toBe(3)
    device(state)
    const [first, second] = await Promise.all([failure(run(3)), failure(run(3))])
    for (const error of [first!, second!]) {
      expect([error.lost, error.message]).toEqual([true, expect.stringContaining('CUDA failure 700')])
      expect(translateError(error, 'denoise')).toMatchObject({
        code: 'UNAVAILABLE',
        message: "denoise: the network 'scaled by 3' was lost",
      })
    }
    expect([lost, breaks]).toEqual([['scaled by 3'], [['scaled by 3', 1]]])
    // Opened anew, in vain: when it is loaded, or when it runs.
    for (const inARow of [2, 3]) {
      expect((await failure(run(3)))!.broken).toBe(true)
      expect(breaks.at(-1)).toEqual(['scaled by 3', inARow])
    }
    device('computes')
    expect(await run(3)).toBe(3)
    device(state)
    await failure(run(3))
    expect(breaks.at(-1)).toEqual(['scaled by 3', 1])
  },
)

test('a network that was let go before is lost when it can not be loaded', async () => {
  expect(await run(3)).toBe(3)
  device('fails at everything')
  expect((await failure(run(5)))!.lost).toBe(true)
  expect([lost, breaks]).toEqual([['scaled by 5'], [['scaled by 5', 1]]])
})

test('a device that never computed here is tried on', async () => {
  device('fails at everything')
  for (let time = 0; time < 3; time++) expect((await failure(run(3)))!.lost).toBe(true)
  expect(breaks).toEqual([])
})

test('a service is not ready from the failure until its network is back', async () => {
  const readiness = networkReadiness(pool, [recipe(3)], { retryMs: { first: 10, largest: 10 } })
  const changes: boolean[] = []
  readiness.onChange((ready) => ready !== (changes.at(-1) ?? false) && changes.push(ready))
  const until = async (ready: boolean) => {
    for (const end = performance.now() + 10_000; readiness.ready !== ready; await sleep(5))
      if (performance.now() > end) throw new Error('it did not come about')
  }
  await until(true)
  device('fails at everything')
  await failure(run(3))
  expect(readiness.ready).toBe(false)
  await sleep(200)
  expect(readiness.ready).toBe(false)
  device('computes')
  await until(true)
  expect(await run(3)).toBe(3)
  expect(changes).toEqual([true, false, true])
  readiness.dispose()
})
