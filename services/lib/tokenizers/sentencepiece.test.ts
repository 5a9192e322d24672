import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import protobuf from 'protobufjs'
import { openDefinition } from './definition.ts'
import { llamaDefinition } from './sentencepiece.ts'

const model = join(import.meta.dirname, '../../../test/parity/data/tokenizers/llama/tokenizer.model')
const bytes = new Uint8Array(await readFile(model))
const type = (await protobuf.load(join(import.meta.dirname, 'sentencepiece.proto'))).lookupType(
  'sentencepiece.ModelProto',
)
const plain = type.toObject(type.decode(bytes))
const encode = (change: Record<string, unknown>) => type.encode(type.fromObject({ ...plain, ...change })).finish()

test('every merge of sentencepiece is found, best piece first', () => {
  const { model } = openDefinition(llamaDefinition(bytes, 'm'), 'm', {})
  expect(Object.keys(model.vocab)).toHaveLength(512)
  expect(model.merges.length).toBeGreaterThan(150)
  const order = [...new Set(model.merges.map(([a, b]) => model.vocab[a + b]!))]
  expect(order).toEqual([...order].sort((a, b) => a - b))
})

test.each([
  [{ trainerSpec: { ...plain.trainerSpec, modelType: 1 } }, "m: model_type is 1; LLaMA's 2 is allowed"],
  [{ trainerSpec: { ...plain.trainerSpec, byteFallback: false } }, 'm: byte_fallback is false'],
  [{ normalizerSpec: { ...plain.normalizerSpec, addDummyPrefix: false } }, 'm: add_dummy_prefix is false'],
  [
    { normalizerSpec: { ...plain.normalizerSpec, removeExtraWhitespaces: true } },
    'm: remove_extra_whitespaces is true',
  ],
  [{ normalizerSpec: { ...plain.normalizerSpec, precompiledCharsmap: [1, 2] } }, 'm: precompiled_charsmap length is 2'],
  [{ trainerSpec: null }, 'm is not a sentencepiece model'],
  [{ pieces: [] }, 'm is not a sentencepiece model'],
  [{ pieces: plain.pieces.slice(0, 100) }, 'm lacks the byte piece <0x61>'],
  [{ pieces: [...plain.pieces, plain.pieces[7]] }, 'm: piece 512 is "<0x04>", which piece 7 is too'],
  [{ pieces: [...plain.pieces, { piece: 'x', type: 4 }] }, 'm: piece 512 "x" is of type 4'],
  [{ pieces: [...plain.pieces, { piece: '' }] }, 'm: piece 512 has 0 characters'],
  [{ pieces: [...plain.pieces, { piece: 'dogs', score: Number.NaN }] }, 'm: piece 512 has 4 characters and score NaN'],
])('another kind of model is refused: %#', (change, message) => {
  expect(() => llamaDefinition(encode(change), 'm')).toThrow(message)
})

test('damaged bytes are opened or refused in a sentence that names the file', () => {
  let state = 1
  const random = (below: number) => {
    state = (state * 48271) % 2147483647
    return state % below
  }
  let refused = 0
  for (let round = 0; round < 200; round++) {
    const damaged = bytes.slice(0, round % 2 ? bytes.length : random(bytes.length))
    for (let i = 0; i < 3 && damaged.length > 0; i++) damaged[random(damaged.length)] = random(256)
    try {
      openDefinition(llamaDefinition(damaged, 'some/tokenizer.model'), 'some/tokenizer.model', {})
    } catch (error) {
      refused++
      expect(String(error)).toMatch(/^Error: some\/tokenizer\.model/)
    }
  }
  expect(refused).toBeGreaterThan(100)
})
