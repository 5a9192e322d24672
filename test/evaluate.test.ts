import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readMetadata } from '../services/lib/images/encode.ts'
import { rehearsalPhoto } from '../services/lib/rehearsal/photo.ts'
import { createToyBundle } from './toy-bundle.ts'

// The evaluation as a person runs it, on the toy bundle: two things, two prompts, two methods, two steps.

const program = fileURLToPath(new URL('../bin/moma.js', import.meta.url))
const toy = createToyBundle()
const folder = mkdtempSync(join(tmpdir(), 'moma-evaluation-'))
const [subjects, report] = [join(folder, 'subjects'), join(folder, 'report')]

beforeAll(async () => {
  const { photo, mask } = await rehearsalPhoto()
  for (const name of ['toy', 'robot_2']) {
    mkdirSync(join(subjects, name, 'masks'), { recursive: true })
    writeFileSync(join(subjects, name, '00.png'), photo)
    writeFileSync(join(subjects, name, '01.png'), photo)
  }
  // The other one's mask is the segmentation network's.
  writeFileSync(join(subjects, 'toy', 'masks', '00.png'), mask)
})

afterAll(() => {
  toy[Symbol.dispose]()
  rmSync(folder, { recursive: true })
})

function evaluate(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      program,
      'evaluate',
      '--subjects',
      subjects,
      '--report',
      report,
      '--prompts',
      '1',
      '--steps',
      '2',
      '--threads',
      '1',
      ...args,
    ],
    { encoding: 'utf8', env: { ...process.env, MOMA_MODELS: toy.models, MOMA_BUNDLE: toy.name } },
  )
  return { status, stdout, stderr }
}

test('evaluate draws, measures and reports; again it draws nothing and says the same', async () => {
  const first = evaluate('--methods', 'moma,no-mask')
  expect(first.stderr).toContain('evaluating')
  expect([first.status, first.stdout.trim()]).toEqual([0, join(report, 'report.html')])
  const json = readFileSync(join(report, 'report.json'), 'utf8')
  const { pictures, averages, settings } = JSON.parse(json)
  expect(settings).toMatchObject({ bundle: toy.name, steps: 2, methods: ['moma', 'no-mask'] })
  expect(pictures).toHaveLength(2 * 2 * 2)
  for (const { file, measures } of pictures) {
    expect(measures).toEqual({
      dino: expect.any(Number),
      clipI: expect.any(Number),
      clipT: expect.any(Number),
      promptRecognised: expect.any(Number),
      thingRecognised: expect.any(Number),
      maskIou: expect.any(Number),
    })
    expect(Math.abs(measures.dino)).toBeLessThanOrEqual(1.000001)
    expect(await readMetadata(readFileSync(join(report, file)))).toMatchObject({
      digitalSourceType: expect.stringContaining('trainedAlgorithmicMedia'),
    })
  }
  expect(averages.moma.clipTContext).toEqual({
    mean: expect.any(Number),
    standardError: expect.any(Number),
    subjects: 2,
  })
  expect(readFileSync(join(report, 'report.html'), 'utf8')).toContain('<svg ')

  const unasked = evaluate('--methods', 'moma,no-mask')
  expect([unasked.status, unasked.stderr]).toEqual([2, expect.stringContaining('go on with --resume')])
  const journal = readFileSync(join(report, 'journal.jsonl'))
  expect(evaluate('--methods', 'moma,no-mask', '--resume').status).toBe(0)
  expect(readFileSync(join(report, 'journal.jsonl')).equals(journal)).toBe(true)
  expect(readFileSync(join(report, 'report.json'), 'utf8')).toBe(json)
  expect(readdirSync(report).sort()).toEqual(['journal.jsonl', 'pictures', 'report.html', 'report.json'])
}, 120_000)

test.each([
  ['a method that there is not', ['--methods', 'moma,best'], 2, 'Allowed are moma, ip-adapter, no-mask'],
  ['subjects that are not there', ['--subjects', '/nowhere'], 2, "/nowhere can't be listed"],
  ['a sampler that there is not', ['--sampler', 'euler'], 2, 'ddim'],
])('%s: one sentence and an exit code', (_, args, code, sentence) => {
  const { status, stderr } = evaluate(...args)
  expect(stderr).toContain(sentence)
  expect(status).toBe(code)
})
