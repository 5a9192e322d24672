import { createJudge } from '../judge.ts'
import { readPolicy } from '../policy/policy.ts'
import { readPromptSets } from '../testing/prompt-sets.ts'

const judge = createJudge(readPolicy())
const words = async (label: string, prompt: string) =>
  (await judge.reviewPrompt({ label, prompt, negativePrompt: 'people' })).decision

describe('labels', () => {
  test.each([
    'man',
    'Woman',
    'old lady',
    'woman in a red dress',
    'my baby',
    'two boys',
    'PEOPLE',
    'police officer',
    'ｗｏｍａｎ',
    'w\u200bo\u00adman',
    'wоmаn',
    'wómän',
    'w0m4n',
    'w o m a n',
    'w.o.m.a.n',
    'child, smiling',
    'queen',
  ])('%s is a person', async (label) => {
    expect(await words(label, 'a beach')).toBe('REJECTED_PERSON')
  })

  test.each([
    'dog',
    'teddy bear',
    'baby carriage',
    "man's watch",
    'snowman',
    'nurse shark',
    'mango',
    'human skull',
    'women’s shoe',
    'robot',
    '7',
  ])('%s is a thing', async (label) => {
    expect(await words(label, 'a beach')).toBe('ALLOWED')
  })
})

describe('prompts', () => {
  test.each([
    'a dog beside a woman',
    'a dog with a baby on its back',
    'the face of Ada Lovelace',
    'portrait of the queen',
    'a ｗｏｍａｎ walking',
    'a dog and two chi\u200bldren',
    'portrait of my neighbour',
  ])('%s asks for a person', async (prompt) => {
    expect(await words('dog', prompt)).toBe('REJECTED_PERSON')
  })

  test.each([
    'a dog in a chef outfit',
    'a dog beside a baby elephant',
    'a portrait of a dog',
    'portrait of my dog in oil',
    'the face of a clock',
    "in a man's hat",
    'a dog on a mantel',
    'a sculpture of a dog made of gold',
    '',
    'a dog wearing a firefighter helmet',
  ])('%s does not', async (prompt) => {
    expect(await words('dog', prompt)).toBe('ALLOWED')
  })
})

test('a verdict says what was seen, by which policy', async () => {
  expect(await judge.reviewPrompt({ label: 'dog', prompt: 'a dog and a woman', negativePrompt: '' })).toEqual({
    decision: 'REJECTED_PERSON',
    findings: [
      {
        stage: 'PROMPT',
        detector: 'words/person',
        reason: '"woman" in the prompt names a person',
        score: 1,
        threshold: 0.5,
        region: null,
      },
    ],
    policyVersion: 'moma-3/words',
  })
})

describe('the prompt sets', () => {
  const sets = readPromptSets()

  test.each(sets)('$category ($language, $field): $expect', async ({ field, expect: expected, texts }) => {
    const judged = await Promise.all(
      texts.map(async (text) => {
        const label = field === 'label' ? text : 'dog'
        const { decision } = await judge.reviewPrompt({
          label,
          prompt: field === 'label' ? '' : text,
          negativePrompt: '',
        })
        return { text, decision }
      }),
    )
    expect(judged).toEqual(texts.map((text) => ({ text, decision: expected })))
  })

  test('are large enough', () => {
    const count = (isHostile: boolean) =>
      sets.filter((set) => (set.expect !== 'ALLOWED') === isHostile).reduce((sum, { texts }) => sum + texts.length, 0)
    expect(count(true)).toBeGreaterThanOrEqual(200)
    expect(count(false)).toBeGreaterThanOrEqual(200)
  })
})

test('a policy may count what is made in the likeness of people as persons', async () => {
  const policy = readPolicy()
  const closeCalls = { ...policy.words.closeCalls, statue: 'person' } as const
  const strict = createJudge({ ...policy, words: { ...policy.words, closeCalls } })
  const { decision, findings } = await strict.reviewPrompt({ label: 'statue of a man', prompt: '', negativePrompt: '' })
  expect(decision).toBe('REJECTED_PERSON')
  expect(findings[0]?.reason).toBe('"man" in the label names a statue in the likeness of a person')
})

describe('texts made to take long', () => {
  const lots = 100_000
  test.each([
    ['one letter and a space', 'a '],
    ['letters glued by signs', 'a-'],
    ['letters glued by stars', 'a*'],
    ['stars', '*'],
    ['one word', 'a'],
    ['one Chinese character', '女'],
    ['marks', '\u0301'],
    ['mixed scripts', 'аa'],
    ['links', 'statue of '],
    ['possessives', "man's "],
    ['replacements', 'replace '],
    ['the invisible', '\u200b'],
  ])('%s', async (_, piece) => {
    const hostile = `${piece.repeat(Math.floor(lots / piece.length))}. woman`
    expect(await words('dog', hostile)).toBe('REJECTED_PERSON')
  })

  test('nothing', async () => {
    expect(await words('dog', '')).toBe('ALLOWED')
    expect(await words('dog', ' \n\t ')).toBe('ALLOWED')
  })
})
