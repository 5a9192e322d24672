import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openLlamaTokenizer } from './llama.ts'

const data = join(import.meta.dirname, '../../../test/parity/data/tokenizers/')
const cases = JSON.parse(await readFile(join(data, 'cases.json'), 'utf8'))

test.each([
  ['llama', cases.llama, 'sentencepiece'],
  ['llama-json', cases.llamaJson, 'transformers LlamaTokenizer'],
])('%s: ids are those of %3$s', async (folder, texts) => {
  const tokenizer = await openLlamaTokenizer(join(data, folder))
  for (const { text, ids } of texts) expect({ text, ids: tokenizer.encode(text) }).toEqual({ text, ids })
})

test('each side of <image> is read as a text of its own, with one bos', async () => {
  const tokenizer = await openLlamaTokenizer(join(data, 'llama'))
  for (const { text, ...sides } of cases.aroundImage) {
    expect({ text, ...tokenizer.encodeAroundImage(text) }).toEqual({ text, ...sides })
  }
  const { after } = tokenizer.encodeAroundImage('USER: <image>\n A')
  expect(after.map(tokenizer.piece)).toEqual(['▁', '<0x0A>', '▁A'])
})

test('tokenizer.json gives the same instruction as tokenizer.model', async () => {
  const tokenizer = await openLlamaTokenizer(join(data, 'llama-json'))
  const instructions = cases.aroundImage.filter((c: { text: string }) => c.text.startsWith('USER:'))
  expect(instructions.length).toBeGreaterThan(2)
  for (const { text, ...sides } of instructions) expect(tokenizer.encodeAroundImage(text)).toEqual(sides)
})

test('none or two <image> are refused', async () => {
  const tokenizer = await openLlamaTokenizer(join(data, 'llama'))
  expect(() => tokenizer.encodeAroundImage('a dog')).toThrow('names <image> 0 times; exactly once')
  expect(() => tokenizer.encodeAroundImage('<image><image>')).toThrow('names <image> 2 times; exactly once')
})

test('control tokens and texts beyond their bounds are refused', async () => {
  for (const folder of ['llama', 'llama-json']) {
    const tokenizer = await openLlamaTokenizer(join(data, folder))
    for (const control of ['<s>', '</s>', '<unk>']) {
      expect(() => tokenizer.encode(`a${control}b`)).toThrow(`text holds the control token ${control}`)
    }
    expect(() => tokenizer.encode('a'.repeat(20_001))).toThrow('text has 20001 characters')
    expect(() => tokenizer.encode('\udc00')).toThrow('half of a surrogate pair')
  }
})

test('the length is the one that the checkpoint states', async () => {
  expect(await openLlamaTokenizer(join(data, 'llama'))).toMatchObject({ bosId: 1, maxTokens: 2048 })
})

test('a CLIP tokenizer is refused', async () => {
  await expect(openLlamaTokenizer(join(data, 'clip'))).rejects.toThrow('vocab.json: byte_fallback is false')
})
