import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openClipTokenizer } from '../lib/tokenizers/clip.ts'
import { subjectPrompt, subjectTokenPositions } from './subject-tokens.ts'

const data = join(import.meta.dirname, '../../test/parity/data/tokenizers/')
const { subjects } = JSON.parse(await readFile(join(data, 'cases.json'), 'utf8'))
const tokenizer = await openClipTokenizer(join(data, 'clip'))
const all = (label: string, text: string) => subjectTokenPositions(tokenizer, label, text, 'all-tokens')
const first = (label: string, text: string) => subjectTokenPositions(tokenizer, label, text, 'first-token')

test.each<{ label: string; prompt: string; allTokens: number[]; firstToken: number[] }>(subjects)(
  '$label in "$prompt": positions are those counted from the reference tokenizer',
  ({ label, prompt, ...expected }) => {
    const text = subjectPrompt(label, prompt)
    expect({ allTokens: all(label, text), firstToken: first(label, text) }).toEqual(expected)
  },
)

test('case, signs and white space around the noun do not matter', () => {
  for (const text of ['photo of a dog', 'photo of a DOG.', 'photo\nof  a Dog, dressed', "photo of a dog's"]) {
    expect(all('dog', text)).toEqual([4])
    expect(all(' Dog! ', text)).toEqual([4])
  }
})

test('whole words only: neither the plural nor a word that ends alike', () => {
  expect(() => all('dog', 'two dogs')).toThrow('"dog" of the label "dog" is not among the first 77 tokens')
  expect(() => all('dog', 'a bulldog')).toThrow('of the prompt "a bulldog"')
  expect(first('dog', 'a bulldog')).toHaveLength(1)
})

test('the parts of a noun with a sign are found together and apart', () => {
  const [teddy, bear] = [tokenizer.tokenIds('teddy').length, tokenizer.tokenIds('bear').length]
  expect(all('teddy-bear', 'teddy-bear')).toHaveLength(teddy + bear)
  expect(all('teddy-bear', 'bear of a teddy')).toHaveLength(teddy + bear)
})

test('positions in decomposed accents', () => {
  expect(all('cafe\u0301', 'Café')).toEqual(all('café', 'cafe\u0301'))
})

test('a noun that is cut away, in part or whole, is an error that names it', () => {
  const long = `${'in the garden '.repeat(25)} dog`
  for (const rule of ['all-tokens', 'first-token'] as const) {
    expect(() => subjectTokenPositions(tokenizer, 'dog', long, rule)).toThrow(
      `"dog" of the label "dog" is not among the first 77 tokens of the prompt ${JSON.stringify(long)}`,
    )
    expect(() => subjectTokenPositions(tokenizer, 'garden dog', long, rule)).toThrow('"dog" of the label "garden dog"')
  }
  const partly = `${'dog '.repeat(75 - 3)}xylophone`
  expect(() => all('xylophone', partly)).toThrow('"xylophone"')
})

test('a label without letters is refused, a padded one is not found in the padding', () => {
  expect(() => all('🐶', 'photo of a 🐶. ')).toThrow('label "🐶" has no letter or digit')
  expect(() => first('<|endoftext|>', 'a dog')).toThrow('is not among the first 77 tokens')
})

test('the text of the prompt, and its bounds', () => {
  expect(subjectPrompt('dog', 'a dog on a beach')).toBe('photo of a dog. a dog on a beach')
  expect(() => subjectPrompt(' ', 'a dog')).toThrow('label " " is empty')
  expect(() => subjectPrompt('dog', 'a'.repeat(10_001))).toThrow('prompt has 10001 characters')
  expect(subjectPrompt('d'.repeat(100), 'a'.repeat(10_000))).toHaveLength(10_113)
})
