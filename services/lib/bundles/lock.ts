import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWhole } from '../whole-file.ts'
import { type Digest, hashFile, startHash } from './digest.ts'
import { BundleError, systemCode } from './errors.ts'
import { isSafePath } from './paths.ts'
import { integer, list, object, oneOf, refuse, type Shape, text } from './shape.ts'

export const lockName = 'bundle.lock.json'

const path: Shape<string> = (value, at) => {
  if (typeof value === 'string' && isSafePath(value)) return value
  throw refuse(value, at, 'a relative path with forward slashes and without ".."')
}

const digest: Shape<Digest> = (value, at) => {
  const read = object(
    { algorithm: oneOf('sha256', 'git-sha1'), hex: text(64, /^[0-9a-f]+$/, 'hexadecimal digits') },
    {},
  )(value, at)
  if (read.hex.length !== (read.algorithm === 'sha256' ? 64 : 40))
    throw refuse(value, at, '64 digits of sha256 or 40 of git-sha1')
  return read
}

const origin = object(
  { repository: text(200), commit: text(64, /^[0-9a-f]{40}$/, 'a commit of 40 digits'), path: text(600) },
  {},
)

const lockedFile = object({ path, sizeBytes: integer(0, 2 ** 40), digest }, { origin })

const document = object(
  {
    formatVersion: oneOf(1),
    bundle: text(64),
    /** `sourcesDigest` of the manifest that this lock answers. */
    sources: text(64, /^[0-9a-f]{64}$/, '64 hexadecimal digits'),
    files: list(lockedFile, 0, 4096),
  },
  {},
)

/** The files of a bundle as they were found at their sources: path, size, checksum and the commit they came from. */
export type Lock = ReturnType<typeof document>
export type LockedFile = ReturnType<typeof lockedFile>

/** The lock of a bundle's folder, or nothing where there is none. Throws `BundleError` where it is damaged. */
export async function readLock(folder: string): Promise<Lock | undefined> {
  const file = join(folder, lockName)
  let content: string
  try {
    content = await readFile(file, 'utf8')
  } catch (error) {
    if (systemCode(error) === 'ENOENT' || systemCode(error) === 'ENOTDIR') return undefined
    throw new BundleError('lock', `${file} cannot be read.`, { cause: error })
  }
  try {
    return document(JSON.parse(content), { file, path: '' })
  } catch (error) {
    const why =
      error instanceof SyntaxError
        ? `${file} is not JSON: ${error.message}.`
        : error instanceof Error
          ? error.message
          : ''
    throw new BundleError('lock', `${why} Remove it and pull again; files that are whole are not fetched twice.`)
  }
}

export async function writeLock(folder: string, lock: Lock): Promise<void> {
  await writeWhole(join(folder, lockName), `${JSON.stringify(lock, null, 2)}\n`)
}

/** Locked entries for files that lie in `folder` already: for bundles that are made here rather than pulled. */
export async function lockFiles(folder: string, paths: readonly string[]): Promise<LockedFile[]> {
  const locked: LockedFile[] = []
  for (const relative of paths) {
    const { size } = await stat(join(folder, relative))
    const hash = startHash('sha256', size)
    await hashFile(join(folder, relative), hash)
    locked.push({ path: relative, sizeBytes: size, digest: { algorithm: 'sha256', hex: hash.digest('hex') } })
  }
  return locked
}
