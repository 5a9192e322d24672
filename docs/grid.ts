// The README's grid, from an evaluation: nothing in it is selected. Eight draws of a kind a block, under each its photo,
// then a row a method:
//   npx moma evaluate --subjects things --report moma-report
//   npm exec -- node docs/grid.ts --subjects things --report moma-report
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import sharp from 'sharp'
import { gridOf } from '../services/evaluation/grids.ts'
import type { Report } from '../services/evaluation/report.ts'
import type { Method } from '../services/generation/request.ts'

const { values: options } = parseArgs({
  options: {
    report: { type: 'string', default: 'moma-report' },
    subjects: { type: 'string', default: 'things' },
    out: { type: 'string', default: 'docs/moma-mini.webp' },
    methods: { type: 'string', default: 'moma,ip-adapter' },
  },
})
const methods = options.methods.split(',') as Method[]
const report: Report = JSON.parse(readFileSync(join(options.report, 'report.json'), 'utf8'))
const side = report.settings.sizePx
const gapPx = 4

const photoOf = (subject: string): string => {
  const folder = join(options.subjects, subject)
  const [first] = readdirSync(folder)
    .filter((name) => /\.(png|jpe?g|webp)$/i.test(name))
    .sort()
  if (!first) throw new Error(`${folder} holds no photo`)
  return join(folder, first)
}

const tiles: sharp.OverlayOptions[] = []
let top = 0
for (const kind of ['context', 'texture'] as const) {
  const grid = gridOf(report.pictures, kind)
  for (const [column, { subject, prompt, pictures }] of grid.entries()) {
    const files = [photoOf(subject), ...methods.map((method) => join(options.report, pictures.get(method)!.file))]
    for (const [row, file] of files.entries()) {
      const input = await sharp(file).resize(side, side).toBuffer()
      tiles.push({ input, left: column * side, top: top + row * side })
    }
    console.log(`${kind} ${column + 1}: ${prompt}`)
  }
  top += (methods.length + 1) * side + gapPx
}
await sharp({ create: { width: 8 * side, height: top - gapPx, channels: 3, background: 'white' } })
  .composite(tiles)
  .webp({ quality: 90 })
  .toFile(options.out)
