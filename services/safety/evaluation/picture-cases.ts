import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { decodeImage } from '../../lib/images/decode.ts'
import type { GreyImage, RgbImage } from '../../lib/images/image.ts'
import { decodeMask } from '../../lib/images/mask.ts'
import { resizeBicubic, resizeNearest } from '../../lib/images/resize.ts'
import { ConfigError } from '../../lib/mesh/config.ts'
import type { Decision, Safety } from '../safety.ts'
import { type Case, type CaseSet, judged } from './evaluation.ts'

/** Folders of pictures, and what is expected of all that lies in them. */
const folders = { person: 'REJECTED_PERSON', things: 'ALLOWED' } as const satisfies Record<string, Decision>

export type PictureGate = 'subject' | 'picture'

export interface PictureOptions {
  /** With `person/`, `things/` or both inside. */
  readonly folder: string
  readonly gate: PictureGate
  /** Side of the square at which pictures are judged, in pixels. */
  readonly sizePx: number
  readonly onCase?: (done: number, count: number) => void
}

/** Neither a person nor a thing by its words: the picture alone decides. */
const neutralLabel = 'subject'
const pictureName = /\.(png|jpe?g|webp|gif|avif|tiff?)$/i
const maskName = /\.mask\.png$/i

/**
 * Pictures through the subject's gate or the finished picture's. `<name>.mask.png` beside a picture is its mask (white =
 * subject); without one, its transparency is, and without that all of it is subject. Throws a ConfigError where there is
 * no picture.
 */
export async function judgePictures(safety: Safety, options: PictureOptions): Promise<CaseSet[]> {
  const found = await Promise.all(
    Object.entries(folders).map(async ([name, expected]) => ({
      name,
      expected,
      files: await picturesIn(join(options.folder, name)),
    })),
  )
  const count = found.reduce((sum, { files }) => sum + files.length, 0)
  if (count === 0) {
    throw new ConfigError(`${options.folder} holds no pictures; allowed: a folder with person/ or things/ inside.`)
  }
  let done = 0
  const sets: CaseSet[] = []
  for (const { name, expected, files } of found) {
    const cases: Case[] = []
    for (const file of files) {
      cases.push(await judgePicture(safety, join(options.folder, name, file), expected, options))
      options.onCase?.(++done, count)
    }
    if (cases.length > 0) sets.push({ name: `${name} (${options.gate})`, cases })
  }
  return sets
}

async function judgePicture(safety: Safety, path: string, expected: Decision, options: PictureOptions): Promise<Case> {
  const picture = async () => (await readPicture(path, options.sizePx)).picture
  // Reading is no part of the judgement's time.
  const read = await readPicture(path, options.sizePx).catch((error: unknown) => error)
  return judged(
    path,
    expected,
    async () => {
      if (!isRead(read)) throw read
      return options.gate === 'subject'
        ? safety.reviewSubject({ reference: read.picture, mask: read.mask, label: neutralLabel })
        : safety.reviewPicture({ picture: read.picture, label: neutralLabel })
    },
    picture,
  )
}

interface ReadPicture {
  readonly picture: RgbImage
  readonly mask: GreyImage
}

function isRead(value: unknown): value is ReadPicture {
  return typeof value === 'object' && value !== null && 'picture' in value && 'mask' in value
}

async function readPicture(path: string, sizePx: number): Promise<ReadPicture> {
  const photo = await decodeImage(await readFile(path))
  const picture = await resizeBicubic(photo, sizePx, sizePx)
  const working = { widthPx: sizePx, heightPx: sizePx }
  const maskBytes = await readFile(path.replace(/\.[^.]+$/, '.mask.png')).catch(() => null)
  if (maskBytes) return { picture, mask: await decodeMask(maskBytes, photo, working) }
  const { widthPx, heightPx, alpha } = photo
  if (alpha) return { picture, mask: resizeNearest({ widthPx, heightPx, pixels: alpha }, sizePx, sizePx) }
  return { picture, mask: { ...working, pixels: new Uint8Array(sizePx * sizePx).fill(255) } }
}

async function picturesIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw new ConfigError(`${folder} can't be listed (${error.code}).`)
  })
  return names.filter((name) => pictureName.test(name) && !maskName.test(name)).sort()
}
