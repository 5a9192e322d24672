import { fillPrompt, paperPrompts } from './prompts.ts'
import { type DrawOptions, drawUnits } from './protocol.ts'

const dog = { name: 'dog', label: 'dog', class: 'dog' }
const can = { name: 'can', label: 'old can', class: 'can' }
const draw = (options: Partial<DrawOptions> = {}, subjects = [dog, can]) =>
  drawUnits(subjects, paperPrompts, {
    seed: 3,
    methods: ['moma', 'no-mask'],
    promptsPerKind: 2,
    count: 4,
    ...options,
  })

test('every method draws the same prompts from the same seeds', () => {
  const units = draw()
  expect(units).toHaveLength(2 * 2 * 2 * 2)
  const of = (method: string) => units.filter((unit) => unit.method === method).map((unit) => ({ ...unit, method: '' }))
  expect(of('moma')).toEqual(of('no-mask'))
  expect(new Set(of('moma').map(({ seed }) => seed)).size).toBe(8)
})

test('more subjects, methods or pictures leave the draws as they are', () => {
  const seeds = (units: ReturnType<typeof draw>) =>
    units
      .filter(({ subject, method }) => subject === 'can' && method === 'moma')
      .map(({ prompt, seed }) => [prompt, seed])
  expect(seeds(draw({}, [can]))).toEqual(seeds(draw()))
  expect(seeds(draw({ methods: ['moma'], count: 1 }))).toEqual(seeds(draw()))
  expect(seeds(draw({ seed: 4 }))).not.toEqual(seeds(draw()))
})

test('prompts are drawn without repetition, from the list of the class, in its order', () => {
  for (const promptsPerKind of [1, 7, 24, null]) {
    const drawn = draw({ promptsPerKind, methods: ['moma'] }, [dog]).filter(({ kind }) => kind === 'context')
    const list = paperPrompts('dog').context.map((template) => fillPrompt(template, 'dog'))
    expect(drawn).toHaveLength(promptsPerKind ?? 25)
    const places = drawn.map(({ prompt }) => list.indexOf(prompt))
    expect(places).toEqual([...new Set(places)].sort((a, b) => a - b))
    expect(places).not.toContain(-1)
  }
  const drawnForAll = draw(
    { promptsPerKind: 1, methods: ['moma'] },
    Array.from({ length: 40 }, (_, index) => ({ ...can, name: `can${index}` })),
  )
  expect(new Set(drawnForAll.map(({ promptKey }) => promptKey)).size).toBeGreaterThan(15)
})

test('seeds leave room for further pictures in what torch reads of them', () => {
  for (const { seed } of draw({ promptsPerKind: null })) {
    expect(Number.isInteger(seed)).toBe(true)
    expect(seed).toBeGreaterThanOrEqual(0)
    expect(seed).toBeLessThan(2 ** 31)
  }
})
