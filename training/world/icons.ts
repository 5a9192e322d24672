/**
 * Draws the icons that the miniature's world is made of into one file.
 *
 *     npm exec -- node training/world/icons.ts [--more] [--out .moma/training/icons.bin] [--sheet sheet.png]
 *
 * The file: its index's length (uint32, little endian), the index (JSON), then the pictures (WebP, lossless RGBA,
 * SIZE_PX²), one after another. An index entry has set, name, kind, label, group, split, offset and bytes.
 *
 * With --more also what other hands have drawn of the same, for the training of who judges persons: their icons of the
 * training split alone, so that what is measured on stays Noto's and Fluent's.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { parseArgs } from 'node:util'
import sharp from 'sharp'
import { type Choice, choose, roleOf } from './selection.ts'

const sizePx = 128
/** Clear rim on every side, so that no turn or blur meets the border. */
const rimPx = 4
const sets = ['fluent-emoji', 'noto'] as const
/** Drawn with --more. Licences: MIT; Apache-2.0; CC-BY-4.0 twice. */
const moreSets: Readonly<Record<string, string>> = {
  'fluent-emoji-flat': '1.2.6',
  'noto-v1': '1.2.5',
  twemoji: '1.2.5',
  emojione: '1.2.3',
}
/** Persons, and their hands, come in five skin tones and without, pairs in all mixtures: of each role so many are kept. */
const variantsOfRole = 2

interface IconSet {
  readonly icons: Readonly<Record<string, { readonly body: string; readonly width?: number; readonly height?: number }>>
  readonly width?: number
  readonly height?: number
}

interface Icon extends Choice {
  readonly set: string
  readonly name: string
  readonly svg: string
  /** Longer side of the icon's own frame. */
  readonly frame: number
}

const require = createRequire(import.meta.url)
const { values: options } = parseArgs({
  options: {
    more: { type: 'boolean', default: false },
    out: { type: 'string', default: '.moma/training/icons.bin' },
    sheet: { type: 'string' },
  },
})

const icons = await chosenIcons()
const pictures = await mapInParallel(icons, draw)
await writeAtlas(options.out, icons, pictures)
if (options.sheet) await writeSheet(options.sheet, icons, pictures)
report(icons)

async function chosenIcons(): Promise<Icon[]> {
  const metadata: { categories: Record<string, string[]> } = await read('noto/metadata.json')
  const categories = new Map(
    Object.entries(metadata.categories).flatMap(([category, names]) => names.map((name) => [name, category] as const)),
  )
  const all: Icon[] = []
  const roles = new Set<string>()
  for (const set of [...sets, ...(options.more ? Object.keys(moreSets) : [])]) {
    const { icons, width = 16, height = 16 }: IconSet = await read(`${set}/icons.json`)
    const found = Object.entries(icons).flatMap(([name, icon]): Icon[] => {
      const choice = choose(set, name, categories)
      // What has another name elsewhere could be somebody who is held out.
      if (set in moreSets && (choice?.split !== 'train' || !roles.has(roleOf(name, categories)))) return []
      if (!(set in moreSets)) roles.add(roleOf(name, categories))
      const [w, h] = [icon.width ?? width, icon.height ?? height]
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}">${icon.body}</svg>`
      return choice ? [{ ...choice, set, name, svg, frame: Math.max(w, h) }] : []
    })
    const ofKind = (kind: Icon['kind']) => found.filter((icon) => icon.kind === kind)
    all.push(
      ...ofKind('thing'),
      ...someOfEveryRole(ofKind('doubtful'), categories),
      ...someOfEveryRole(ofKind('person'), categories),
    )
  }
  return all
}

async function read(path: string) {
  let found: string
  try {
    found = require.resolve(`@iconify-json/${path}`)
  } catch {
    const packages = Object.entries(moreSets).map(([set, version]) => `@iconify-json/${set}@${version}`)
    throw new Error(`@iconify-json/${path} is not installed; npm install --no-save ${packages.join(' ')}`)
  }
  return JSON.parse(await readFile(found, 'utf8'))
}

/** Some of every role, other skin tones from role to role. */
function someOfEveryRole(icons: readonly Icon[], categories: ReadonlyMap<string, string>): Icon[] {
  const roles = [...Map.groupBy(icons, ({ name }) => roleOf(name, categories)).values()]
  return roles.flatMap((variants, i) => {
    const kept = Math.min(variantsOfRole, variants.length)
    const step = variants.length / kept
    return Array.from({ length: kept }, (_, k) => variants[Math.floor(i + k * step) % variants.length]!)
  })
}

/** The icon as large as fits inside the rim, whatever empty space its own frame has. */
async function draw(icon: Icon): Promise<Buffer> {
  const inner = sizePx - 2 * rimPx
  const large = await sharp(Buffer.from(icon.svg), { density: (72 * 512) / icon.frame })
    .png()
    .toBuffer()
  const trimmed = await sharp(large)
    .trim({ background: { r: 0, g: 0, b: 0, alpha: 0 }, threshold: 5 })
    .png()
    .toBuffer()
  const clear = { r: 0, g: 0, b: 0, alpha: 0 }
  return sharp(trimmed)
    .resize(inner, inner, { fit: 'contain', background: clear })
    .extend({ top: rimPx, bottom: rimPx, left: rimPx, right: rimPx, background: clear })
    .webp({ lossless: true, effort: 4 })
    .toBuffer()
}

async function writeAtlas(path: string, icons: readonly Icon[], pictures: readonly Buffer[]): Promise<void> {
  let offset = 0
  const entries = icons.map(({ svg: _, frame: __, ...icon }, i) => {
    const bytes = pictures[i]!.length
    offset += bytes
    return { ...icon, offset: offset - bytes, bytes }
  })
  const index = Buffer.from(JSON.stringify({ sizePx, entries }))
  const head = Buffer.alloc(4)
  head.writeUInt32LE(index.length)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(`${path}.part`, Buffer.concat([head, index, ...pictures]))
  await rename(`${path}.part`, path)
  console.log(`${path}: ${icons.length} icons, ${((head.length + index.length + offset) / 1e6).toFixed(1)} MB`)
}

/** All things in reading order, held-out ones on a blue ground, for looking at. */
async function writeSheet(path: string, icons: readonly Icon[], pictures: readonly Buffer[]): Promise<void> {
  const [tile, columns] = [40, 48]
  const things = icons.map((icon, i) => ({ icon, i })).sort((a, b) => (a.icon.label < b.icon.label ? -1 : 1))
  const shown = things.filter(({ icon }) => icon.kind !== 'person')
  const tiles = await Promise.all(
    shown.map(async ({ icon, i }, k) => ({
      input: await sharp(pictures[i])
        .resize(tile, tile)
        .flatten({ background: icon.kind === 'doubtful' ? '#f88' : icon.split === 'held_out' ? '#8cf' : '#fff' })
        .png()
        .toBuffer(),
      left: (k % columns) * tile,
      top: Math.floor(k / columns) * tile,
    })),
  )
  await sharp({
    create: {
      width: columns * tile,
      height: Math.ceil(shown.length / columns) * tile,
      channels: 3,
      background: '#fff',
    },
  })
    .composite(tiles)
    .png()
    .toFile(path)
}

function report(icons: readonly Icon[]): void {
  const count = (test: (icon: Icon) => boolean) => icons.filter(test).length
  const groups = (split: string) =>
    new Set(icons.filter((icon) => icon.kind === 'thing' && icon.split === split).map((icon) => icon.group))
  console.log({
    things: count((icon) => icon.kind === 'thing'),
    heldOut: count((icon) => icon.kind === 'thing' && icon.split === 'held_out'),
    persons: count((icon) => icon.kind === 'person'),
    doubtful: count((icon) => icon.kind === 'doubtful'),
    groups: groups('train').size,
    heldOutGroups: [...groups('held_out')].join(' '),
  })
}

async function mapInParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length)
  let next = 0
  const lane = async () => {
    while (next < items.length) {
      const i = next++
      results[i] = await work(items[i]!)
    }
  }
  await Promise.all(Array.from({ length: 4 }, lane))
  return results
}
