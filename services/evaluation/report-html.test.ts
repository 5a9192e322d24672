import type { Method } from '../generation/request.ts'
import { barChart } from './bar-chart.ts'
import { reportOf } from './report.ts'
import { reportHtml } from './report-html.ts'
import { type Result, summarise } from './summary.ts'

const paperFolders =
  'backpack backpack_dog bear_plushie berry_bowl can candle cat cat2 clock colorful_sneaker dog dog2 dog3 dog5 dog6 dog7 ' +
  'dog8 duck_toy fancy_boot grey_sloth_plushie monster_toy pink_sunglasses poop_emoji rc_car red_cartoon robot_toy ' +
  'shiny_sneaker teapot vase wolf_plushie'

function page(names: readonly string[], methods: readonly Method[]): string {
  const results = names.flatMap((subject, index) =>
    methods.map((method): Result => {
      const value = 0.3 + index / 1000 + (method === 'moma' ? 0.01 : 0)
      const measures = {
        dino: value,
        clipI: value,
        clipT: value,
        promptRecognised: 1,
        thingRecognised: null,
        maskIou: null,
      }
      return { subject, kind: 'context', promptKey: 'k', prompt: 'p', method, seed: 1, file: 'f.png', measures }
    }),
  )
  const report = reportOf({
    settings: {
      bundle: 'b',
      rehearsal: true,
      seed: 1,
      promptsPerKind: null,
      count: 1,
      sizePx: 512,
      sampler: 'ddim',
      steps: 50,
      guidance: 7.5,
      strength: { context: 1, texture: 0.5 },
      methods,
    },
    subjects: names.map((name) => ({ name, label: name, class: name, photos: 4, mask: 'given' })),
    summary: summarise(results, names, methods),
    chance: { placeRecognised: 0.04 },
    results,
  })
  return reportHtml(report, [], { generated: new Map(), references: new Map() })
}

test("the paper's numbers stand beside its own subjects", () => {
  const html = page(paperFolders.split(' '), ['moma', 'ip-adapter'])
  expect(html).toContain(
    "the paper's MoMA</th><td>0.618</td><td>0.803</td><td>0.348</td><td>0.335</td><td></td><td></td><td></td><td></td>",
  )
  expect(html).toContain("the paper's IP-Adapter</th><td></td><td></td><td>0.330</td><td>0.319</td>")
  // The boot's row under the boot, and none for what the paper calls otherwise.
  expect(html.match(/0\.819/g)).toHaveLength(1)
  expect(html).toContain('class="holds">holds</td>')
})

test('and beside no others', () => {
  const html = page(['dog', 'my_robot'], ['moma', 'no-mask'])
  expect(html).not.toContain("the paper's MoMA")
  expect(html).toContain('The weights are random numbers')
})

test('bars end where their values are, with their errors', () => {
  const svg = barChart(['a'], [{ name: 's', colour: 'red', bars: [{ mean: 0.5, standardError: 0.25, subjects: 2 }] }])
  // The scale reaches 1: half of 190 px below 14.
  expect(svg).toContain('y="109" width="20" height="95"')
  expect(svg).toContain('V61.5')
  expect(svg).toContain('<title>s, a: 0.500 ± 0.250</title>')
  expect(barChart(['a'], [{ name: 's', colour: 'red', bars: [null] }])).not.toContain('<rect')
})
