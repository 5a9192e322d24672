import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCheckpoint, readTensor } from './checkpoint.ts'
import { CheckpointError } from './tensor-entry.ts'
import { createSafetensors, type TensorData, writeSafetensors } from './write-safetensors.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'safetensors-'))
  path = join(folder, 'model.safetensors')
})
afterEach(() => rm(folder, { recursive: true }))

const bytes = (text: string) => [Buffer.from(text)]

async function* twoChunks() {
  yield Buffer.from('01234')
  yield Buffer.from('567')
}

test('what is written is read back, each tensor aligned to its elements', async () => {
  const tensors: TensorData[] = [
    { name: 'flags', dtype: 'bool', shape: [3], chunks: bytes('abc') },
    { name: 'empty', dtype: 'float32', shape: [0, 4], chunks: [] },
    { name: 'half', dtype: 'float16', shape: [1], chunks: bytes('hh') },
    { name: 'wide', dtype: 'int64', shape: [], chunks: twoChunks() },
    { name: '__proto__', dtype: 'uint8', shape: [1], chunks: bytes('p') },
  ]
  await writeSafetensors(path, tensors, { format: 'pt' })
  const { tensors: read } = openCheckpoint(path)
  expect([...read.keys()]).toEqual(['wide', 'empty', 'half', '__proto__', 'flags'])
  for (const { name, dtype, shape } of tensors) expect(read.get(name)).toMatchObject({ dtype, shape })
  expect(read.get('wide')!.offset % 8).toBe(0)
  expect(read.get('half')!.offset % 2).toBe(0)
  const texts = ['flags', 'half', 'wide', '__proto__'].map((name) =>
    Buffer.from(readTensor(read.get(name)!)).toString(),
  )
  expect(texts).toEqual(['abc', 'hh', '01234567', 'p'])
  expect((await readFile(path)).toString('latin1')).toContain('"__metadata__":{"format":"pt"}')
})

test('tensors may be filled by turns', async () => {
  await using file = await createSafetensors(path, [
    { name: 'a', dtype: 'uint8', shape: [4] },
    { name: 'b', dtype: 'uint8', shape: [4] },
  ])
  for (const [name, text] of [
    ['b', '12'],
    ['a', '56'],
    ['b', '34'],
    ['a', '78'],
  ] as const)
    await file.append(name, Buffer.from(text))
  expect(await readdir(folder)).not.toContain('model.safetensors')
  await file.finish()
  const { tensors } = openCheckpoint(path)
  expect(Buffer.from(readTensor(tensors.get('a')!)).toString()).toBe('5678')
  expect(Buffer.from(readTensor(tensors.get('b')!)).toString()).toBe('1234')
})

const a = (shape: number[], text: string): TensorData => ({ name: 'a', dtype: 'uint8', shape, chunks: bytes(text) })

test.each<[string, TensorData[], string]>([
  ['too few bytes', [a([3], 'ab')], "tensor 'a' takes 3 bytes, got 2"],
  ['too many bytes', [a([1], 'ab')], "tensor 'a' takes 1 bytes, got 2"],
  ['a name twice', [a([1], 'a'), a([1], 'a')], "the name 'a' is used twice"],
  ['the name of the metadata', [{ ...a([1], 'a'), name: '__metadata__' }], "the name '__metadata__' is used twice"],
  ['a negative size', [a([-1], '')], "tensor 'a' can't have the shape [-1]"],
  ['half a size', [a([0.5, 2], '')], "tensor 'a' can't have the shape [0.5, 2]"],
])('%s: nothing is written, what was there stays', async (_, tensors, problem) => {
  await writeFile(path, 'before')
  await expect(writeSafetensors(path, tensors)).rejects.toThrow(new CheckpointError(path, problem))
  expect(await readdir(folder)).toEqual(['model.safetensors'])
  expect(await readFile(path, 'utf8')).toBe('before')
})

test('a source that fails leaves nothing behind', async () => {
  const failing = (function* () {
    yield Buffer.from('a')
    throw new Error('the disk is gone')
  })()
  await expect(writeSafetensors(path, [{ ...a([2], ''), chunks: failing }])).rejects.toThrow('the disk is gone')
  expect(await readdir(folder)).toEqual([])
})

test('a tensor that was not announced is refused', async () => {
  await using file = await createSafetensors(path, [])
  await expect(file.append('b', Buffer.from('b'))).rejects.toThrow(
    new CheckpointError(path, "no tensor 'b' was announced"),
  )
})
