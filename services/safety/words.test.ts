import { createWordJudge } from './words.ts'

const judge = createWordJudge()
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
    'ship model',
    'record player',
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
    'a dog beside a head of lettuce',
    'a dog in a police outfit',
    'a dog with the Eiffel Tower in the background',
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
        detector: 'words',
        reason: '"woman" in the prompt names a person',
        score: 1,
        threshold: 0.5,
        region: null,
      },
    ],
    policyVersion: 'words-1',
  })
})

test('the longest prompt is read in no time', async () => {
  expect(await words('dog', 'a '.repeat(4999))).toBe('ALLOWED')
  expect(await words('dog', `${'a-'.repeat(4990)}woman`)).toBe('REJECTED_PERSON')
})
