import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { manifestOf } from '../../test/hub/bundle.ts'
import type { Pipeline } from '../generation/pipeline.ts'
import { parseManifest } from '../lib/bundles/manifest.ts'
import { contentHash } from '../lib/content-cache.ts'
import type { RgbImage } from '../lib/images/image.ts'
import { type Evaluation, type EvaluationRequest, evaluate } from './evaluate.ts'
import { openJournal } from './journal.ts'
import type { Metrics } from './metrics.ts'
import { paperPrompts } from './prompts.ts'
import { findSubjects } from './subject-folders.ts'
import { writeReport } from './write-report.ts'

// Everything but the networks: a pipeline that paints what hashes say, and measures that read them.

const folder = mkdtempSync(join(tmpdir(), 'moma-evaluate-'))
afterAll(() => rmSync(folder, { recursive: true }))
const subjects = join(folder, 'subjects')

beforeAll(async () => {
  for (const name of ['dog', 'can']) {
    mkdirSync(join(subjects, name, 'masks'), { recursive: true })
    for (const photo of ['00', '01']) writeFileSync(join(subjects, name, `${photo}.png`), await png(`${name} ${photo}`))
    writeFileSync(join(subjects, name, 'masks', '00.png'), await halfMask())
  }
})

const side = 64
function paint(seed: string): RgbImage {
  const hash = Buffer.from(contentHash(seed), 'hex')
  const pixels = Uint8Array.from({ length: side * side * 3 }, (_, index) => hash[index % hash.length]!)
  return { widthPx: side, heightPx: side, pixels, alpha: null }
}
const raw = (pixels: Uint8Array, channels: 1 | 3) => sharp(pixels, { raw: { width: side, height: side, channels } })
const png = (seed: string) => raw(paint(seed).pixels, 3).png().toBuffer()
const halfMask = () =>
  raw(
    Uint8Array.from({ length: side * side }, (_, index) => (index % side < side / 2 ? 255 : 0)),
    1,
  )
    .png()
    .toBuffer()

const { settings } = parseManifest(manifestOf(), 'm')

/** Paints at once; `drawn` has what was asked for. */
function paintingPipeline(drawn: string[]): Pipeline {
  return {
    async *generate(subject, request, { signal } = {}) {
      const name = `${subject.label}, ${request.prompt}, ${request.method}, ${request.task}`
      drawn.push(name)
      yield { kind: 'step', step: 1, steps: request.steps, previews: [], previewKind: 'latents', masks: [] }
      for (let index = 0; index < request.count; index++) {
        signal?.throwIfAborted()
        const seed = request.seed + index
        const mask = { widthPx: 2, heightPx: 1, pixels: Uint8Array.of(255, 0) }
        yield { kind: 'image', index, seed, image: paint(`${name}, ${seed}`), mask }
      }
    },
  }
}

const unit = (numbers: readonly number[]) => Float32Array.from(numbers, (number) => number / Math.hypot(...numbers))
const metrics: Metrics = {
  picture: async ({ pixels }) => ({ dino: unit([...pixels.subarray(0, 6)]), clip: unit([...pixels.subarray(6, 12)]) }),
  texts: async (texts) => texts.map((text) => unit([...paint(text).pixels.subarray(6, 12)])),
}

const wholeMask = async (picture: RgbImage) => ({ ...picture, pixels: new Uint8Array(side * side).fill(255) })

interface Options {
  readonly from?: string
  readonly request?: Partial<EvaluationRequest>
  readonly identity?: string
  readonly signal?: AbortSignal
  readonly onUnit?: (drawn: number) => void
}

/** Evaluates into the folder `name`; gives the report's bytes and what was drawn for it. */
async function run(name: string, { from = subjects, request, identity = 'i', signal, onUnit }: Options = {}) {
  const reportFolder = join(folder, name)
  mkdirSync(reportFolder, { recursive: true })
  await using journal = await openJournal(join(reportFolder, 'journal.jsonl'), true)
  const drawn: string[] = []
  const found = await findSubjects(from)
  const evaluation: Evaluation = {
    bundle: { name: 'toy', settings, rehearsal: false, identity },
    tools: { pipeline: paintingPipeline(drawn), metrics, segmentation: wholeMask },
    folders: found.subjects,
    prompts: paperPrompts,
    request: { seed: 1, methods: ['moma', 'no-mask'], promptsPerKind: 2, count: 2, sizePx: side, ...request },
    journal,
    reportFolder,
    ...(signal ? { signal } : {}),
    onProgress: () => onUnit?.(drawn.length),
  }
  const report = await evaluate(evaluation)
  const page = await writeReport(report, found.subjects, reportFolder)
  return {
    report,
    drawn,
    json: readFileSync(join(reportFolder, 'report.json'), 'utf8'),
    html: readFileSync(page, 'utf8'),
  }
}

const sixteenUnits = 2 * 2 * 2 * 2

test('every subject, prompt and method is drawn and measured, textures as textures', async () => {
  const { report, drawn } = await run('whole')
  expect(drawn).toHaveLength(sixteenUnits)
  expect(drawn.filter((name) => name.endsWith('retexture'))).toHaveLength(sixteenUnits / 2)
  expect(report.pictures).toHaveLength(2 * sixteenUnits)
  for (const { file, measures } of report.pictures) {
    expect(readFileSync(join(folder, 'whole', file)).length).toBeGreaterThan(100)
    // The mask is the left half, the thing everything.
    expect(measures.maskIou).toBe(0.5)
    expect(measures.dino).toBeGreaterThan(-1)
  }
  expect(report.chance).toEqual({ placeRecognised: 1 / 25, textureRecognised: 1 / 10, thingRecognised: 1 / 2 })
  expect(report.paper).toBeNull()
})

test('stopped in the middle, it goes on with what is missing and ends in the same report', async () => {
  const whole = await run('uninterrupted')
  const stop = new AbortController()
  const interrupted = run('interrupted', { signal: stop.signal, onUnit: (drawn) => drawn === 6 && stop.abort() })
  await expect(interrupted).rejects.toThrow('aborted')
  expect(readdirSync(join(folder, 'interrupted'))).toEqual(['journal.jsonl', 'pictures'])
  const journal = join(folder, 'interrupted', 'journal.jsonl')
  const finished = readFileSync(journal, 'utf8').trim().split('\n').length
  expect(finished).toBeGreaterThan(3)

  // Killed while it wrote a line, and a picture is gone.
  writeFileSync(journal, readFileSync(journal, 'utf8').slice(0, -20))
  const [first] = readdirSync(join(folder, 'interrupted', 'pictures', 'can'))
  rmSync(join(folder, 'interrupted', 'pictures', 'can', first!))
  const resumed = await run('interrupted')
  expect(resumed.drawn).toHaveLength(sixteenUnits - finished + 2)
  expect(resumed.json).toBe(whole.json)
  expect(resumed.html).toBe(whole.html)
  expect((await run('interrupted')).drawn).toEqual([])
})

test('what decides a picture decides whether it is drawn again; what is only counted does not', async () => {
  await run('keys')
  expect((await run('keys', { identity: 'other weights' })).drawn).toHaveLength(sixteenUnits)
  expect((await run('keys', { request: { steps: 7 } })).drawn).toHaveLength(sixteenUnits)
  expect((await run('keys', { request: { methods: ['moma'] } })).drawn).toEqual([])
  expect((await run('keys', { request: { methods: ['moma', 'no-mask', 'no-subject'] } })).drawn).toHaveLength(8)
})

test('the page holds everything that it shows, and no text becomes markup', async () => {
  const from = join(folder, 'named')
  mkdirSync(join(from, '<i>&"', 'masks'), { recursive: true })
  for (const file of ['00.png', 'masks/00.png']) cpSync(join(subjects, 'dog', file), join(from, '<i>&"', file))
  writeFileSync(join(from, '<i>&"', 'subject.json'), '{"label": "<b>can"}')
  const { html } = await run('page', { from, request: { promptsPerKind: 4 } })
  expect(html.match(/<img src="data:image\/webp;base64,[A-Za-z0-9+/=]+" alt="[^"<>]+">/g)).toHaveLength(2 * 8 * 3)
  expect(html).not.toMatch(/(src|href)="(?!data:)|url\(|<script|<link|https?:/)
  expect(html).toContain('CLIP-T(c), MoMA − without the mask')
  expect(html.match(/<svg /g)).toHaveLength(2)
  expect(html).not.toContain('NaN')
  expect(html).not.toMatch(/<i>&|<b>/)
  expect(html).toContain('&#60;b&#62;can')
})
