import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openNetwork } from './network.ts'
import type { Recipe } from './recipe.ts'
import { floatTensor } from './tensor.ts'

const folder = mkdtempSync(join(tmpdir(), 'moma-kept-'))
afterAll(() => rmSync(folder, { recursive: true }))

const size = 8
const weights = join(folder, 'w.bin')
const writeWeights = (first: number) =>
  writeFileSync(weights, new Uint8Array(Float32Array.from({ length: size }, (_, index) => first + index).buffer))
const recipe: Recipe = {
  name: 'scaled',
  module: new URL('test-networks.ts', import.meta.url).href,
  builder: 'scaled',
  args: [3, weights, size],
}

/** 3 + the first weight, by a thread of its own. */
async function firstResult(keptIn: string): Promise<number> {
  const network = await openNetwork(recipe, { provider: 'cpu', threads: 1, keptIn })
  try {
    await network.load()
    const { y } = await network.run({ x: floatTensor([1, size], new Array(size).fill(1)) })
    return Number(y!.data[0])
  } finally {
    await network.dispose()
  }
}

test('a network is kept once, and what is kept computes the same', async () => {
  const keptIn = join(folder, 'kept')
  writeWeights(0)
  expect(await firstResult(keptIn)).toBe(3)
  const files = readdirSync(keptIn)
  expect(files).toEqual([expect.stringMatching(/^[0-9a-f]{64}\.ort$/)])
  expect(await firstResult(keptIn)).toBe(3)
  expect(readdirSync(keptIn)).toEqual(files)
})

test('other weights in the same file are another network', async () => {
  const keptIn = join(folder, 'changed')
  writeWeights(0)
  expect(await firstResult(keptIn)).toBe(3)
  writeWeights(5)
  expect(await firstResult(keptIn)).toBe(8)
  expect(readdirSync(keptIn)).toHaveLength(2)
})

test('a kept file that is damaged is made anew', async () => {
  const keptIn = join(folder, 'damaged')
  writeWeights(0)
  await firstResult(keptIn)
  const [name] = readdirSync(keptIn)
  writeFileSync(join(keptIn, name!), 'ORTM is not what this is')
  expect(await firstResult(keptIn)).toBe(3)
  writeFileSync(join(keptIn, name!), '')
  expect(await firstResult(keptIn)).toBe(3)
  expect(readdirSync(keptIn)).toEqual([name])
})

test('where nothing can be written the network runs all the same', async () => {
  writeWeights(0)
  expect(await firstResult(join(weights, 'kept'))).toBe(3)
})
