import type { Method } from '../generation/request.ts'
import { eightOf, gridOf } from './grids.ts'
import { isPaperSet, paperAverage, paperRow } from './paper-table.ts'
import type { PromptKind } from './prompts.ts'
import { type Result, summarise } from './summary.ts'

const result = (subject: string, method: Method, kind: PromptKind, clipT: number, seed = 1, prompt = 'p'): Result => ({
  subject,
  kind,
  promptKey: prompt,
  prompt,
  method,
  seed,
  file: `${subject}-${method}-${prompt}-${seed}.png`,
  measures: { dino: clipT, clipI: 2 * clipT, clipT, promptRecognised: 1, thingRecognised: null, maskIou: null },
})

describe('a summary', () => {
  const results = [
    result('cat', 'moma', 'context', 0.4),
    result('cat', 'moma', 'context', 0.2, 2),
    result('cat', 'moma', 'texture', 0.9),
    result('cat', 'no-mask', 'context', 0.1),
    result('can', 'moma', 'context', 0.5),
    result('can', 'no-mask', 'context', 0.4),
  ]
  const summary = summarise(results, ['cat', 'can'], ['moma', 'no-mask'])

  test("averages the subjects' means, each kind for itself, CLIP-T of both too", () => {
    const { dino, clipI, clipT, clipTContext, clipTTexture, maskIou } = summary.averages.get('moma')!
    expect(dino?.mean).toBeCloseTo((0.3 + 0.5) / 2, 12)
    expect(clipI?.mean).toBeCloseTo(0.8, 12)
    expect(clipT?.mean).toBeCloseTo(((0.4 + 0.2 + 0.9) / 3 + 0.5) / 2, 12)
    expect(clipTContext).toMatchObject({ subjects: 2, standardError: expect.closeTo(0.1, 12) })
    expect(clipTTexture).toEqual({ mean: 0.9, standardError: null, subjects: 1 })
    expect(maskIou).toBeNull()
    expect(summary.bySubject.get('cat')!.get('moma')!.dino).toBeCloseTo(0.3, 12)
    expect(summary.bySubject.get('can')!.get('no-mask')!.clipTTexture).toBeNull()
  })

  test('compares MoMA with the others on the same subjects, and judges what the paper states', () => {
    const found = summary.differences.find(({ metric }) => metric === 'clipTContext')
    // 0.2 for the cat, 0.1 for the can.
    expect(found).toMatchObject({ method: 'no-mask', momaAbove: { subjects: 2, mean: expect.closeTo(0.15, 12) } })
    expect(found?.momaAbove.standardError).toBeCloseTo(0.05, 12)
    expect(summary.orderings).toEqual([
      expect.objectContaining({ metric: 'clipTContext', worse: 'no-mask', verdict: 'holds' }),
    ])
  })
})

test('a grid takes first prompts before second ones, and second pictures last', () => {
  const results = ['a', 'b', 'c'].flatMap((subject) =>
    ['one', 'two'].flatMap((prompt) =>
      (['moma', 'no-mask'] as const).flatMap((method) =>
        [5, 6].map((seed) => result(subject, method, 'context', 0, seed, prompt)),
      ),
    ),
  )
  const grid = gridOf(results, 'context')
  expect(grid.map(({ subject, prompt }) => `${subject} ${prompt}`)).toEqual([
    'a one',
    'b one',
    'c one',
    'a two',
    'b two',
    'c two',
    'a one',
    'b one',
  ])
  expect(grid.map(({ pictures }) => pictures.get('no-mask')?.seed)).toEqual([5, 5, 5, 5, 5, 5, 6, 6])
  expect(gridOf(results, 'texture')).toEqual([])
  expect(eightOf(results, 'context')).toEqual([])
})

test("the paper's own grid is eight pictures of the first draw", () => {
  const results = ['a', 'b'].flatMap((subject) =>
    Array.from({ length: 8 }, (_, seed) => result(subject, 'moma', 'context', 0, seed)),
  )
  const grid = eightOf(results, 'context')
  expect(grid.map(({ subject, pictures }) => [subject, pictures.get('moma')?.seed])).toEqual(
    Array.from({ length: 8 }, (_, seed) => ['a', seed]),
  )
})

describe("the paper's table", () => {
  const folders =
    'backpack backpack_dog bear_plushie berry_bowl can candle cat cat2 clock colorful_sneaker dog dog2 dog3 dog5 dog6 dog7 ' +
    'dog8 duck_toy fancy_boot grey_sloth_plushie monster_toy pink_sunglasses poop_emoji rc_car red_cartoon robot_toy ' +
    'shiny_sneaker teapot vase wolf_plushie'

  test("stands beside DreamBooth's thirty subjects and no others", () => {
    expect(isPaperSet(folders.split(' ').reverse())).toBe(true)
    expect(isPaperSet(folders.split(' ').slice(1))).toBe(false)
    expect(isPaperSet([...folders.split(' '), 'my_dog'])).toBe(false)
  })

  test('rows are those whose name leaves no doubt', () => {
    expect(paperRow('fancy_boot')?.moma?.clipI).toBe(0.819)
    expect(paperRow('duck_toy')).toBeNull()
    expect(paperRow('my_dog')).toBeNull()
  })

  test('its rows have the averages that it gives', () => {
    const rows =
      'backpack backpack2 boot bowl can candle cartoon cat cat2 clock dog dog2 dog3 dog5 dog6 dog7 dog8 plushie plushie2 plushie3 poop sneaker sneaker2 sunglasses teapot toy1 toy2 toy3 vase'
    const all = rows.split(' ').map((row) => paperRow(row)!)
    expect(isPaperSet(rows.split(' '))).toBe(true)
    for (const method of ['moma', 'ip-adapter'] as const) {
      for (const [metric, average] of Object.entries(paperAverage[method]!)) {
        const values = all.map((row) => Object.entries(row[method]!).find(([name]) => name === metric)![1])
        const mean = values.reduce((sum, value) => sum + value, 0) / values.length
        // The table's own rounding, and no more than one digit misread.
        expect(Math.abs(mean - average)).toBeLessThan(0.0015)
      }
    }
  })
})
