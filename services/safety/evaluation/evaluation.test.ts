import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromPixels } from '../../lib/images/test-images.ts'
import { modelFileRecipe } from '../../lib/runtime/model-file.ts'
import { createNetworkPool } from '../../lib/runtime/pool.ts'
import { createPersonDetector } from '../eyes/person-detector.ts'
import { writeRedDetector } from '../eyes/test-eyes.ts'
import { createJudge } from '../judge.ts'
import { readPolicy } from '../policy/policy.ts'
import { rowOf, worstCases } from './evaluation.ts'
import { judgePictures } from './picture-cases.ts'
import { judgePrompts } from './prompt-cases.ts'
import { htmlPage, textTable } from './report.ts'
import { wilsonInterval } from './wilson.ts'

const folder = mkdtempSync(join(tmpdir(), 'moma-evaluation-'))
const pool = createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 2 ** 28 })
const config = { imageSize: 64, classes: 2, personClasses: [0] }
const personDetector = createPersonDetector(pool, modelFileRecipe('red', join(folder, 'red.onnx')), config)
const judge = createJudge(readPolicy(), { personDetector })

const size = { widthPx: 64, heightPx: 64 }
const red = [255, 0, 0]
const blue = [0, 0, 255]
/** One colour on the left, one on the right. */
const halves = (left: number[], right: number[]) =>
  fromPixels(size, 3, (x) => (x < 32 ? left : right))
    .png()
    .toBuffer()
const mask = (inside: (x: number) => boolean) =>
  fromPixels(size, 3, (x) => (inside(x) ? [255, 255, 255] : [0, 0, 0]))
    .png()
    .toBuffer()

beforeAll(async () => {
  writeRedDetector(join(folder, 'red.onnx'))
  for (const name of ['person', 'things']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'person', 'left.png'), await halves(red, blue))
  writeFileSync(join(folder, 'person', 'left.mask.png'), await mask((x) => x < 32))
  // Nobody is to be seen: it passes, and is wrong.
  writeFileSync(join(folder, 'person', 'missed.png'), await halves(blue, blue))
  writeFileSync(join(folder, 'things', 'box <1>.png'), await halves(blue, blue))
  writeFileSync(join(folder, 'things', 'broken.png'), 'no picture')
  writeFileSync(join(folder, 'things', 'notes.txt'), 'no picture either')
})
afterAll(async () => {
  await pool.dispose()
  rmSync(folder, { recursive: true })
})

test("Wilson's interval", () => {
  const { low, high } = wilsonInterval(297, 300)
  expect(low).toBeCloseTo(0.971, 3)
  expect(high).toBeCloseTo(0.9966, 4)
  expect(wilsonInterval(0, 0)).toEqual({ low: 0, high: 1 })
  expect(wilsonInterval(5, 5).high).toBe(1)
  expect(wilsonInterval(5, 5).low).toBeCloseTo(0.5655, 4)
})

test('pictures are judged by folder, with their masks; what can not be read is not right', async () => {
  const steps: string[] = []
  const options = {
    folder,
    gate: 'subject',
    sizePx: 64,
    onCase: (done: number, count: number) => steps.push(`${done}/${count}`),
  } as const
  const sets = await judgePictures(judge, options)
  expect(steps).toEqual(['1/4', '2/4', '3/4', '4/4'])
  expect(sets.map(rowOf)).toMatchObject([
    { set: 'person (subject)', expected: ['REJECTED_PERSON'], count: 2, right: 1, rate: 0.5 },
    { set: 'things (subject)', expected: ['ALLOWED'], count: 2, right: 1 },
  ])
  expect(sets[1]!.cases[1]).toMatchObject({
    verdict: null,
    error: expect.stringContaining('the file is text'),
    right: false,
  })
})

test('the same pictures through the gate of finished pictures', async () => {
  const sets = await judgePictures(judge, { folder, gate: 'picture', sizePx: 64 })
  expect(sets[0]!.cases.map(({ right }) => right)).toEqual([true, false])
})

test('the page shows the wrong ones first, with their pictures and nothing that is run', async () => {
  const sets = await judgePictures(judge, { folder, gate: 'subject', sizePx: 64 })
  const worst = worstCases(sets, 3)
  expect(worst.map(({ right }) => right)).toEqual([false, false, true])
  const page = await htmlPage(sets.map(rowOf), worstCases(sets, 10), 'moma-4/words')
  expect(page.match(/<img alt="" src="data:image\/webp;base64,/g)).toHaveLength(3)
  expect(page.match(/<figure class="wrong">/g)).toHaveLength(2)
  expect(page).toContain('box &#60;1&#62;.png')
  expect(page).not.toContain('<script')
})

test('prompt sets become rows, a refusal for whatever reason being one', async () => {
  const sets = await judgePrompts(judge, [
    { category: 'mixed', language: 'en', field: 'prompt', expect: 'REJECTED_PERSON', texts: ['a naked man', 'snow'] },
    { category: 'labels', language: 'en', field: 'label', expect: 'ALLOWED', texts: ['cup'] },
  ])
  const rows = sets.map(rowOf)
  expect(rows).toMatchObject([
    { set: 'mixed (prompt, en)', count: 2, right: 1 },
    { set: 'labels (label, en)', count: 1, right: 1 },
  ])
  const [head, first] = textTable(rows).split('\n')
  expect(head).toMatch(/^set +expected +count +right +rate +95 % interval/)
  expect(first).toMatch(/^mixed \(prompt, en\) +REJECTED_PERSON +2 +1 +50\.0 % +9\.5 % – 90\.5 %/)
})

test('a folder without pictures is told', async () => {
  const options = { folder: join(folder, 'person'), gate: 'subject', sizePx: 64 } as const
  await expect(judgePictures(judge, options)).rejects.toThrow(
    /holds no pictures; allowed: a folder with person\/ or things\//,
  )
})
