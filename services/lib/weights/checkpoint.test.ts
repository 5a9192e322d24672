import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCheckpoint, readTensor, readTensorRange } from './checkpoint.ts'
import { pickleFile, safetensorsFile, TensorFixture, torchFile } from './fixtures.ts'
import { CheckpointError } from './tensor-entry.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'checkpoint-'))
})
afterEach(() => rm(folder, { recursive: true }))

const one = (name: string, text: string) =>
  safetensorsFile({
    header: { [name]: { dtype: 'U8', shape: [text.length], data_offsets: [0, text.length] } },
    data: Buffer.from(text),
  })

async function write(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

const index = (weightMap: object) =>
  JSON.stringify({ metadata: { total_size: 3, nested: [{ a: [1, null] }] }, weight_map: weightMap })

test('a file is read by the kind that its name says', async () => {
  const safetensors = openCheckpoint(await write('a.safetensors', one('a', 'abc')))
  expect(Buffer.from(readTensor(safetensors.tensors.get('a')!)).toString()).toBe('abc')
  const pickle = pickleFile({ a: new TensorFixture('uint8', [3], '0') })
  const torch = openCheckpoint(await write('a.th', torchFile({ pickle, storages: { 0: Buffer.from('abc') } })))
  expect(Buffer.from(readTensor(torch.tensors.get('a')!)).toString()).toBe('abc')
})

test('an index joins shards of both kinds, and shows only what it maps', async () => {
  const pickle = pickleFile({ b: new TensorFixture('uint8', [2], '0'), other: new TensorFixture('uint8', [2], '0') })
  await write('1.safetensors', one('a', 'abc'))
  await write('2.bin', torchFile({ pickle, storages: { 0: Buffer.from('de') } }))
  const path = await write('model.index.json', index({ a: '1.safetensors', b: '2.bin' }))
  const { source, tensors } = openCheckpoint(path)
  expect(source).toBe(path)
  expect([...tensors.keys()]).toEqual(['a', 'b'])
  expect(tensors.get('b')!.file).toBe(join(folder, '2.bin'))
  expect(Buffer.from(readTensor(tensors.get('b')!)).toString()).toBe('de')
})

test.each<[string, string, string]>([
  ['no object', '[]', "the index, character 0: the index: '{' is expected, got '[]'"],
  ['no map', '{}', 'the index has no weight_map'],
  [
    'a map of numbers',
    '{"weight_map":{"a":1}}',
    `the index, character 19: the shard of 'a': '"' is expected, got '1}}'`,
  ],
  [
    'a name twice',
    '{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}',
    "the index, character 38: weight_map has the key 'a' twice",
  ],
  [
    'a deep value',
    `{"metadata":${'['.repeat(65)}`,
    "the index, character 76: 'metadata' is nested deeper than 64 levels",
  ],
  ...['../1.safetensors', '/etc/passwd', 'x/1.bin', 'x\\1.bin', '..', '', 'x'.repeat(256)].map(
    (name): [string, string, string] => [
      `the shard ${JSON.stringify(name)}`,
      index({ a: name }),
      `names the shard '${name.length > 100 ? `${name.slice(0, 100)}…` : name}'; names of files in the same folder are allowed`,
    ],
  ),
  [
    'itself as a shard',
    index({ a: 'model.index.json' }),
    "names the index 'model.index.json' as a shard; files with tensors are allowed",
  ],
  [
    'a tensor that its shard lacks',
    index({ b: '1.safetensors' }),
    "says that '1.safetensors' holds tensor 'b', which it doesn't",
  ],
])('an index with %s is refused', async (_, json, problem) => {
  await write('1.safetensors', one('a', 'abc'))
  const path = await write('model.index.json', json)
  expect(() => openCheckpoint(path)).toThrow(new CheckpointError(path, problem))
})

test('a shard that is missing is named', async () => {
  const path = await write('model.index.json', index({ a: '1.safetensors' }))
  expect(() => openCheckpoint(path)).toThrow(/^.*\/1\.safetensors: can't be opened \(ENOENT: /)
})

test('folders and pipes are no checkpoints', () => {
  expect(() => openCheckpoint(folder)).toThrow(new CheckpointError(folder, 'is not a regular file'))
  const pipe = join(folder, 'pipe.bin')
  execFileSync('mkfifo', [pipe])
  expect(() => openCheckpoint(pipe)).toThrow(new CheckpointError(pipe, 'is not a regular file'))
})

test('ranges are read within the tensor, and beyond 4 GiB of the file', async () => {
  const path = join(folder, 'big')
  const offset = 5 * 2 ** 30
  await writeFile(path, '')
  await truncate(path, offset + 4)
  const entry = { name: 'a', dtype: 'uint8', shape: [4], file: path, offset, length: 4 } as const
  await writeFile(path, 'abcd', { flag: 'r+' })
  const { open } = await import('node:fs/promises')
  await using handle = await open(path, 'r+')
  await handle.write(Buffer.from('wxyz'), 0, 4, offset)
  expect(Buffer.from(readTensorRange(entry, 1, 2)).toString()).toBe('xy')
  expect(() => readTensorRange(entry, 1, 4)).toThrow(
    new CheckpointError(path, "tensor 'a' has 4 bytes; bytes 1 to 5 are asked for"),
  )
  await truncate(path, 3)
  expect(() => readTensor(entry)).toThrow(
    new CheckpointError(path, `is truncated: 4 bytes at ${offset} are needed, the file has 3`),
  )
})
