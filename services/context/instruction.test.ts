import { join } from 'node:path'
import { openLlamaTokenizer } from '../lib/tokenizers/llama.ts'
import { encodeInstruction, instructionText } from './instruction.ts'

const folder = join(import.meta.dirname, '../../test/parity/data/tokenizers/llama')
const tokenizer = await openLlamaTokenizer(folder)
const spell = (ids: readonly number[]) => ids.map((id) => tokenizer.piece(id)).join('')

test('label and prompt stand in the instruction as they were given', () => {
  expect(instructionText('dog', 'a Dog  in a garden')).toBe(
    'USER: <image>\n A photo of a dog. Describe a new image of the same dog in: a Dog  in a garden. ASSISTANT: *',
  )
})

test('the ids spell the instruction around the photo and end with the learnable token', () => {
  const { before, after } = encodeInstruction(tokenizer, 'dog', 'a dog in a garden', 16)
  expect(before[0]).toBe(tokenizer.bosId)
  expect(spell(before.slice(1))).toBe('▁USER:▁')
  expect(spell(after)).toBe(
    '▁<0x0A>▁A▁photo▁of▁a▁dog.▁Describe▁a▁new▁image▁of▁the▁same▁dog▁in:▁a▁dog▁in▁a▁garden.▁ASSISTANT:▁*',
  )
  expect(tokenizer.piece(after.at(-1)!)).toBe('▁*')
})

test('a sequence that ends otherwise is refused', () => {
  const other = { ...tokenizer, encodeAroundImage: () => ({ before: [1], after: tokenizer.encode('* a dog') }) }
  expect(() => encodeInstruction(other, 'dog', '', 16)).toThrow('ends with the token "▁dog"; the learnable token "*"')
  const bytes = { ...tokenizer, piece: () => '<0x2A>' }
  expect(() => encodeInstruction(bytes, 'dog', '', 16)).toThrow('ends with the token "<0x2A>"')
})

test('patches count towards the longest sequence', () => {
  const { before, after } = encodeInstruction(tokenizer, 'dog', 'a garden', 0)
  const room = tokenizer.maxTokens - before.length - after.length
  expect(() => encodeInstruction(tokenizer, 'dog', 'a garden', room)).not.toThrow()
  expect(() => encodeInstruction(tokenizer, 'dog', 'a garden', room + 1)).toThrow(
    `the instruction has 2049 tokens, ${room + 1} of them the photo's; at most 2048 are allowed`,
  )
})

test.each([
  ['', 'a garden', 'label "" is empty'],
  [' \n', 'a garden', 'is empty'],
  ['d'.repeat(101), '', 'label has 101 characters; at most 100 are allowed'],
  ['dog', 'a'.repeat(10_001), 'prompt has 10001 characters; at most 10000 are allowed'],
  ['dog', 'an <image> of it', 'prompt holds <image>'],
  ['<image>', 'a garden', 'label holds <image>'],
  ['dog', 'a</s>b', 'control token </s>'],
  ['dog', '\ud800', 'prompt holds half of a surrogate pair'],
])('label %j and a prompt that breaks the bounds', (label, prompt, message) => {
  expect(() => encodeInstruction(tokenizer, label, prompt, 16)).toThrow(message)
})
