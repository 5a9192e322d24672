import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readMetadata } from '../services/lib/images/encode.ts'
import { rehearsalPhoto } from '../services/lib/rehearsal/photo.ts'
import { createToyBundle } from './toy-bundle.ts'

// The command line as a person runs it, on the toy bundle.

const program = fileURLToPath(new URL('../bin/moma.js', import.meta.url))
const toy = createToyBundle()
const folder = mkdtempSync(join(tmpdir(), 'moma-cli-'))
const photo = join(folder, 'photo.png')
const mask = join(folder, 'mask.png')

beforeAll(async () => {
  const files = await rehearsalPhoto()
  writeFileSync(photo, files.photo)
  writeFileSync(mask, files.mask)
  writeFileSync(join(folder, 'no-picture.png'), 'hello')
})

afterAll(() => {
  toy[Symbol.dispose]()
  rmSync(folder, { recursive: true })
})

function moma(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    env: { ...process.env, MOMA_MODELS: toy.models, MOMA_BUNDLE: toy.name },
  })
  return { status, stdout, stderr }
}

const out = join(folder, 'out')
const generate = (...args: string[]) =>
  moma(
    'generate',
    '--image',
    photo,
    '--mask',
    mask,
    '--label',
    'toy',
    '--prompt',
    'a toy on a beach',
    '--out',
    out,
    ...args,
  )

test('generate writes pictures with their settings inside and prints their paths last', async () => {
  const { status, stdout } = generate('--count', '2', '--seed', '5', '--steps', '2')
  expect(status).toBe(0)
  const paths = stdout.trim().split('\n')
  expect(paths.map((path) => path.slice(out.length + 1))).toEqual([
    'toy-a-toy-on-a-beach-5.png',
    'toy-a-toy-on-a-beach-6.png',
  ])
  const metadata = JSON.stringify(await readMetadata(readFileSync(paths[1]!)), (_, value) =>
    typeof value === 'bigint' ? String(value) : value,
  )
  expect(metadata).toContain('trainedAlgorithmicMedia')
  expect(metadata).toContain('a toy on a beach')
  expect(readdirSync(out).filter((name) => name.endsWith('.part'))).toEqual([])
}, 30_000)

test.each([
  ['a missing photo', ['--image', '/nowhere.png'], 2, '--image /nowhere.png can'],
  ['no picture', ['--image', join(folder, 'no-picture.png')], 2, 'image'],
  ['strength', ['--strength', '2'], 2, 'Allowed is a number from 0 to 1.2'],
  ['size', ['--size', '100'], 2, 'Allowed is a multiple of 64'],
  ['an unknown bundle', ['--bundle', 'nothing'], 3, 'The bundle is "nothing"; allowed: '],
  ['a label beyond the text', ['--label', `toy ${'z'.repeat(80)}`], 2, 'is not among the first 77 tokens'],
])(
  '%s: one sentence and an exit code',
  (_, args, code, sentence) => {
    const { status, stdout, stderr } = generate('--steps', '1', '--quiet', ...args)
    expect(stderr).toContain(sentence)
    expect(stderr).not.toContain('    at ')
    expect(status).toBe(code)
    expect(stdout).toBe('')
  },
  30_000,
)

test('models list shows the bundle', () => {
  expect(moma('models', 'list').stdout).toContain('moma-toy        ready')
})

test('safety evaluate prints how well texts are judged, and writes a page', () => {
  const page = join(folder, 'safety.html')
  const sets = join(folder, 'sets.json')
  const set = { category: 'some', language: 'en', field: 'label', expect: 'REJECTED_PERSON' }
  writeFileSync(sets, JSON.stringify([{ ...set, texts: ['woman', 'cup'] }]))
  const { status, stdout } = moma('safety', 'evaluate', '--prompts', sets, '--html', page)
  expect(status).toBe(0)
  expect(stdout).toMatch(/^policy moma-1\/words\n/)
  expect(stdout).toMatch(/some \(label, en\) +REJECTED_PERSON +2 +1 +50\.0 %/)
  expect(stdout).toContain('"cup": expected REJECTED_PERSON, got ALLOWED')
  expect(readFileSync(page, 'utf8')).toContain('expected REJECTED_PERSON, got ALLOWED')
  const { stdout: json } = moma('safety', 'evaluate', '--prompts', sets, '--json')
  expect(JSON.parse(json)).toMatchObject({
    judges: ['words'],
    sets: [{ count: 2, right: 1 }],
    wrong: [{ name: 'cup' }],
  })
})

test('safety evaluate says what is wrong with its settings in one sentence', () => {
  const missing = moma('safety', 'evaluate', '--prompts', join(folder, 'none.json'))
  expect(missing).toMatchObject({ status: 2, stderr: expect.stringMatching(/^moma: The prompt sets .* can't be read/) })
})
