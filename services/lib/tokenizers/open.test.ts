import { cp, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openTokenizer } from './open.ts'

const data = join(import.meta.dirname, '../../../test/parity/data/tokenizers/')
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokenizer-'))
})
afterEach(() => rm(folder, { recursive: true }))

const take = (name: string) => cp(join(data, name), folder, { recursive: true })
const write = (name: string, content: unknown) =>
  writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
const read = async (name: string) => JSON.parse(await readFile(join(folder, name), 'utf8'))
const refused = () =>
  openTokenizer(folder).then(
    () => 'opened',
    (error: Error) => error.message.replaceAll(`${folder}/`, '').replace(folder, 'folder'),
  )

test('tokenizer.json goes before the other files', async () => {
  await take('clip')
  await take('clip-json')
  expect((await openTokenizer(folder)).path).toBe(join(folder, 'tokenizer.json'))
  await rm(join(folder, 'tokenizer.json'))
  expect((await openTokenizer(folder)).path).toBe(join(folder, 'vocab.json'))
})

test('missing files are named', async () => {
  expect(await refused()).toMatch(/^tokenizer_config.json is missing/)
  await write('tokenizer_config.json', {})
  expect(await refused()).toBe(
    'folder holds no tokenizer; tokenizer.json, vocab.json with merges.txt, or tokenizer.model is needed',
  )
  await take('clip')
  await rm(join(folder, 'merges.txt'))
  expect(await refused()).toBe('merges.txt is missing; it belongs to vocab.json')
})

test('too large a file is not read', async () => {
  await take('llama')
  await truncate(join(folder, 'tokenizer.model'), (4 << 20) + 1)
  expect(await refused()).toBe('tokenizer.model has 4194305 bytes; at most 4194304 are allowed')
})

test('a folder in the place of a file is refused', async () => {
  await take('clip')
  await mkdir(join(folder, 'tokenizer.json'))
  expect(await refused()).toBe('tokenizer.json is not a file')
})

test('broken JSON is named', async () => {
  await take('clip')
  await write('vocab.json', '{"a": 1')
  expect(await refused()).toMatch(/^vocab.json is not JSON: /)
  await write('vocab.json', [1, 2])
  expect(await refused()).toBe('vocab.json holds [1,2]; a JSON object is expected')
})

test('a damaged vocabulary or merge is named', async () => {
  await take('clip')
  const vocab = await read('vocab.json')
  const merges = await readFile(join(folder, 'merges.txt'), 'utf8')
  await write('vocab.json', { ...vocab, dogs: 1.5 })
  expect(await refused()).toBe('vocab.json: the id of "dogs" is 1.5; 0 to 999999 is allowed')
  await write('vocab.json', { ...vocab, dogs: 3 })
  expect(await refused()).toBe(`vocab.json: the id 3 of "dogs" is another piece's too`)
  await write('vocab.json', {})
  expect(await refused()).toBe('vocab.json: the vocabulary is empty')
  await write('vocab.json', vocab)
  await write('merges.txt', `${merges}q q q\n`)
  expect(await refused()).toBe('merges.txt: merge 87 is "q q q"; two pieces are expected')
  await write('merges.txt', `${merges}q z\n`)
  expect(await refused()).toBe('merges.txt: merge 87 needs "qz", which is no piece')
  await write('merges.txt', '#version: 0.2\n')
  expect(await refused()).toMatch(/^merges.txt holds no merges/)
})

test('merges.txt is read with either line end and without its version line', async () => {
  await take('clip')
  const expected = (await openTokenizer(folder)).model.merges
  const merges = await readFile(join(folder, 'merges.txt'), 'utf8')
  await write('merges.txt', merges.replaceAll('\n', '\r\n').replace(/^#version.*\r\n/, ''))
  expect((await openTokenizer(folder)).model.merges).toEqual(expected)
})

test('a damaged tokenizer.json is named', async () => {
  await take('clip-json')
  const json = await read('tokenizer.json')
  const damage: [Record<string, unknown>, string | RegExp][] = [
    [{ model: null }, 'tokenizer.json: model is null; an object is expected'],
    [{ model: { ...json.model, type: 'Unigram' } }, 'tokenizer.json: model.type is "Unigram"; only "BPE" is allowed'],
    [{ model: { ...json.model, merges: 'a b' } }, 'tokenizer.json: the merges are "a b"; a list is expected'],
    [{ model: { ...json.model, merges: [['t', 7]] } }, /merge 1 is \["t",7\]; two pieces are expected/],
    [{ added_tokens: null }, 'tokenizer.json: added_tokens is null; a list is expected'],
    [{ added_tokens: [{ id: 'x', content: 'y' }] }, /an added token is .*a content and an id are expected/],
    [{ normalizer: { type: 'Magic' } }, /^tokenizer.json is not a tokenizer that can be used: .*Magic/],
    [{ decoder: undefined }, /^tokenizer.json is not a tokenizer that can be used: .*decoder/],
  ]
  for (const [change, message] of damage) {
    await write('tokenizer.json', { ...json, ...change })
    expect(await refused()).toMatch(message)
  }
})
