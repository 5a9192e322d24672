import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeImage } from '../lib/images/decode.ts'
import { encodeImage, readMetadata } from '../lib/images/encode.ts'
import type { RgbImage } from '../lib/images/image.ts'
import { encodePreview } from '../lib/images/preview.ts'
import { resizeBicubic } from '../lib/images/resize.ts'
import { writeWhole } from '../lib/whole-file.ts'
import { eightOf, gridOf } from './grids.ts'
import { promptKinds } from './prompts.ts'
import type { Report } from './report.ts'
import { reportHtml } from './report-html.ts'
import { readPicture, type SubjectFolder } from './subject-folders.ts'

const longestSidePx = 256

/** Writes `report.json` and `report.html`, with the pictures of its grids inside; returns the page's path. */
export async function writeReport(
  report: Report,
  folders: readonly SubjectFolder[],
  reportFolder: string,
): Promise<string> {
  const grids = promptKinds.flatMap((kind) => [
    { kind, sameDraw: false, columns: gridOf(report.pictures, kind) },
    { kind, sameDraw: true, columns: eightOf(report.pictures, kind) },
  ])
  const generated = new Map<string, string>()
  const references = new Map<string, string>()
  for (const { subject, pictures } of grids.flatMap(({ columns }) => columns)) {
    const folder = folders.find(({ name }) => name === subject)
    const photo = folder?.photos[0]
    if (photo && !references.has(subject)) references.set(subject, await photoUri(photo.path))
    for (const { file } of pictures.values()) generated.set(file, await generatedUri(join(reportFolder, file)))
  }
  const page = join(reportFolder, 'report.html')
  await writeWhole(join(reportFolder, 'report.json'), `${JSON.stringify(report, null, 1)}\n`)
  await writeWhole(page, reportHtml(report, grids, { generated, references }))
  return page
}

/** Smaller, and still saying that it is generated and how. */
async function generatedUri(path: string): Promise<string> {
  const bytes = await readFile(path)
  const { provenance } = await readMetadata(bytes)
  if (!provenance) throw new Error(`${path} says nothing of how it was made: it is none of this evaluation's pictures`)
  const small = await encodeImage(await shrink(await decodeImage(bytes)), 'webp', provenance)
  return `data:image/webp;base64,${Buffer.from(small).toString('base64')}`
}

async function photoUri(path: string): Promise<string> {
  const small = await encodePreview(await shrink(await decodeImage(await readPicture(path))), 'webp')
  return `data:image/webp;base64,${Buffer.from(small).toString('base64')}`
}

async function shrink(picture: RgbImage): Promise<RgbImage> {
  const scale = longestSidePx / Math.max(picture.widthPx, picture.heightPx)
  if (scale >= 1) return picture
  const side = (px: number) => Math.max(1, Math.round(px * scale))
  return resizeBicubic(picture, side(picture.widthPx), side(picture.heightPx))
}
