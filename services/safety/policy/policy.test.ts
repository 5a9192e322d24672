import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createJudge } from '../judge.ts'
import { readPolicy } from './policy.ts'

const folder = mkdtempSync(join(tmpdir(), 'moma-policy-'))
afterAll(() => rmSync(folder, { recursive: true }))

function fileWith(value: unknown): string {
  const file = join(folder, 'policy.json')
  writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value))
  return file
}

const own = readPolicy()

test("another policy's version is in its verdicts", async () => {
  const judge = createJudge(readPolicy(fileWith({ ...own, version: 'house-7' })))
  const { policyVersion } = await judge.reviewPrompt({ label: 'dog', prompt: '', negativePrompt: '' })
  expect(policyVersion).toBe('house-7/words')
})

test.each([
  ['no JSON', '{', "can't be read"],
  ['no version', { ...own, version: undefined }, 'version is not allowed'],
  ['another format', { ...own, formatVersion: 2 }, 'formatVersion is not allowed'],
  [
    'a threshold that is none',
    { ...own, picture: { ...own.picture, zeroShot: { person: 1.5 } } },
    'picture.zeroShot.person is not allowed',
  ],
  ['a misspelt field', { ...own, pictures: {} }, 'the document is not allowed (Unrecognized key: "pictures")'],
  [
    'a class that is left out',
    { ...own, words: { ...own.words, closeCalls: { statue: 'thing' } } },
    'words.closeCalls.doll is not allowed',
  ],
])('a file with %s stops the start with one sentence', (_, value, problem) => {
  expect(() => readPolicy(fileWith(value))).toThrow(problem)
  expect(() => readPolicy(fileWith(value))).toThrow(/^The policy .*\.$/)
})

test('a language without a list stops the start too', () => {
  const policy = readPolicy(fileWith({ ...own, words: { ...own.words, languages: ['en', 'xx'] } }))
  expect(() => createJudge(policy)).toThrow(/^The word list .*xx\.json can't be read/)
})
