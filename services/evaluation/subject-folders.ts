import type { Dirent } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { extname, join, parse } from 'node:path'
import { systemCode } from '../lib/bundles/errors.ts'
import { ImageError } from '../lib/images/image.ts'
import { checkLabel } from '../lib/tokenizers/text.ts'
import { type DreamBoothFile, parseDreamBoothFile } from './dreambooth-file.ts'

/** A thing's photos on disk, as DreamBooth's folders hold them. */
export interface SubjectFolder {
  readonly name: string
  readonly label: string
  /** A wider noun, such as `toy`; decides which prompts fit. */
  readonly class: string
  /** By file name; the first is what pictures are drawn from, all are what they are compared with. */
  readonly photos: readonly SubjectPhoto[]
}

export interface SubjectPhoto {
  readonly path: string
  /** A mask of the same name in `masks/`, or null. */
  readonly maskPath: string | null
}

export interface SubjectCollection {
  readonly subjects: readonly SubjectFolder[]
  /** `prompts_and_classes.txt`, or null. */
  readonly list: DreamBoothFile | null
}

/** A folder of subjects that can't be used; one sentence with path, what was found and what is allowed. */
export class SubjectFolderError extends Error {
  override readonly name = 'SubjectFolderError'
}

const pictureEndings: readonly string[] = ['.png', '.jpg', '.jpeg', '.webp']
const longestTextBytes = 1 << 20
const mostSubjects = 200
const mostPhotos = 32

/**
 * Finds the subjects in a folder: `<subject>/<nn>.jpg`, optional `<subject>/masks/<nn>.png`, optional
 * `<subject>/subject.json` ({"label", "class"}), optional `prompts_and_classes.txt`. Without a label, the list's class
 * is it, and without that the folder's name. Reads no picture. Throws SubjectFolderError.
 */
export async function findSubjects(folder: string): Promise<SubjectCollection> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new SubjectFolderError(`${folder} can't be listed: ${error instanceof Error ? error.message : error}`)
  })
  const content = await readOptional(join(folder, 'prompts_and_classes.txt'))
  const list = content === null ? null : parseDreamBoothFile(content)
  const visible = entries.filter(({ name }) => !name.startsWith('.'))
  const areFolders = await Promise.all(visible.map((entry) => isFolder(entry, folder)))
  const names = visible.filter((_, i) => areFolders[i]).map(({ name }) => name)
  const found = await Promise.all(names.sort().map((name) => readSubjectFolder(folder, name, list)))
  const subjects = found.filter((subject) => subject !== null)
  if (subjects.length < 1 || subjects.length > mostSubjects) {
    throw new SubjectFolderError(
      `${folder} has ${subjects.length} folders with photos (${pictureEndings.join(', ')}), allowed are 1 to ${mostSubjects}`,
    )
  }
  return { subjects, list }
}

/** Whether it is a folder, or a link to one: selections of a large dataset are links. */
async function isFolder(entry: Dirent, folder: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory()
  const target = await stat(join(folder, entry.name)).catch(() => null)
  return target?.isDirectory() === true
}

async function readSubjectFolder(
  folder: string,
  name: string,
  list: DreamBoothFile | null,
): Promise<SubjectFolder | null> {
  const inside = join(folder, name)
  const photos = (await readdir(inside)).filter(isPicture).sort()
  if (photos.length === 0) return null
  if (photos.length > mostPhotos)
    throw new SubjectFolderError(`${inside} has ${photos.length} photos, allowed are 1 to ${mostPhotos}`)
  const masks = await readdir(join(inside, 'masks')).catch(() => [])
  const maskOf = (photo: string) => masks.find((mask) => isPicture(mask) && parse(mask).name === parse(photo).name)
  const said = await readDescription(join(inside, 'subject.json'))
  const subjectClass = said.class ?? list?.classes.get(name)
  const label = said.label ?? subjectClass ?? nounOf(name)
  checkLabel(label)
  return {
    name,
    label,
    class: subjectClass ?? label,
    photos: photos.map((photo) => {
      const mask = maskOf(photo)
      return { path: join(inside, photo), maskPath: mask === undefined ? null : join(inside, 'masks', mask) }
    }),
  }
}

/** `bear_plushie` → bear plushie, `dog-2` → dog. */
function nounOf(folder: string): string {
  const words = folder.replace(/[\d_-]+/g, ' ').trim()
  return words === '' ? folder : words
}

function isPicture(name: string): boolean {
  return pictureEndings.includes(extname(name).toLowerCase())
}

async function readDescription(file: string): Promise<{ readonly label?: string; readonly class?: string }> {
  const content = await readOptional(file)
  if (content === null) return {}
  const said = parseJson(content, file)
  const text = (field: string): string | undefined => {
    const value: unknown = Reflect.get(said, field)
    if (value === undefined || (typeof value === 'string' && value.trim() !== '')) return value
    throw new SubjectFolderError(`${file}: ${field} is ${JSON.stringify(value)}, allowed is a noun`)
  }
  const [label, subjectClass] = [text('label'), text('class')]
  return { ...(label === undefined ? {} : { label }), ...(subjectClass === undefined ? {} : { class: subjectClass }) }
}

function parseJson(content: string, file: string): object {
  try {
    const value: unknown = JSON.parse(content)
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Said below.
  }
  throw new SubjectFolderError(`${file} is no JSON object`)
}

async function readOptional(file: string): Promise<string | null> {
  const bytes = await readFile(file).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return null
    throw new SubjectFolderError(`${file} can't be read: ${error instanceof Error ? error.message : error}`)
  })
  if (bytes === null) return null
  if (bytes.length <= longestTextBytes) return bytes.toString('utf8')
  throw new SubjectFolderError(`${file} has ${bytes.length} bytes, allowed are ${longestTextBytes}`)
}

/** A photo's bytes. Throws SubjectFolderError where it can't be read. */
export async function readPicture(path: string): Promise<Uint8Array> {
  return readFile(path).catch((error: unknown) => {
    throw new SubjectFolderError(`${path} can't be read: ${error instanceof Error ? error.message : error}`)
  })
}

/** Runs `read`; what is wrong with a picture is said with its path. */
export async function atPath<T>(path: string, read: () => Promise<T>): Promise<T> {
  return read().catch((error: unknown) => {
    throw error instanceof ImageError ? new ImageError(`${path}: ${error.message}`, { cause: error }) : error
  })
}
