import { rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bundle } from './bundles.ts'
import { hashFile, startHash } from './digest.ts'
import { discardPart, download, resumableBytes } from './download.ts'
import { BundleError, reasonOf } from './errors.ts'
import { alone, guardName } from './guard.ts'
import { type Hub, hubFromEnvironment, listRepository } from './hub.ts'
import { type Lock, type LockedFile, readLock, writeLock } from './lock.ts'
import { type Manifest, type Source, sourcesDigest, wantedSources } from './manifest.ts'
import { assertWritable, planSource } from './plan.ts'
import { preparedDecoder } from './prepare.ts'
import { isRehearsal, removeRehearsal } from './rehearsal-mark.ts'
import { stopped } from './retry.ts'

export interface PullProgress {
  /** The file in work, relative to the bundle's folder. */
  readonly file: string
  readonly fileBytes: number
  readonly fileTotalBytes: number
  /** Bytes that are on disk of all files together, those of earlier pulls among them. */
  readonly bytes: number
  readonly totalBytes: number
  readonly filesDone: number
  readonly files: number
}

export interface PullOptions {
  /** Default: by the environment, see `hubFromEnvironment`. Its signal stops the pull. */
  readonly hub?: Hub
  /** Whether what only measuring needs is fetched too. What was fetched once is kept whole by every later pull. */
  readonly metrics?: boolean
  readonly onProgress?: (progress: PullProgress) => void
  /** Free bytes on the disk of a folder; default: asked of the file system. */
  readonly freeBytes?: (folder: string) => Promise<number>
}

export interface PullReport {
  readonly folder: string
  readonly files: number
  readonly totalBytes: number
  /** Bytes that came over the network; 0 where everything was there. */
  readonly transferredBytes: number
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

const bytesOf = (files: readonly LockedFile[]): number => files.reduce((sum, file) => sum + file.sizeBytes, 0)
const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`

async function hasSize(folder: string, file: LockedFile): Promise<boolean> {
  const found = await stat(join(folder, file.path)).catch(() => undefined)
  return found?.isFile() === true && found.size === file.sizeBytes
}

async function resolveSources(hub: Hub, sources: readonly Source[]): Promise<LockedFile[]> {
  const files: LockedFile[] = []
  for (const source of sources)
    files.push(...planSource(source, await listRepository(hub, source.repository, source.revision)))
  assertWritable(files)
  return files
}

/** Whether a file that lies in the folder already is the one wanted: by the lock it was pulled with, or else by reading it. */
async function isThere(
  folder: string,
  file: LockedFile,
  before: Lock | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (!(await hasSize(folder, file))) return false
  const known = before?.files.find((entry) => entry.path === file.path)
  if (known?.digest.algorithm === file.digest.algorithm) return known.digest.hex === file.digest.hex
  const hash = startHash(file.digest.algorithm, file.sizeBytes)
  await hashFile(join(folder, file.path), hash, undefined, signal)
  return hash.digest('hex') === file.digest.hex
}

async function assertSpace(
  folder: string,
  wanted: readonly LockedFile[],
  freeBytes: (folder: string) => Promise<number>,
): Promise<void> {
  let needed = bytesOf(wanted)
  for (const file of wanted) needed -= await resumableBytes(file, join(folder, file.path))
  const free = await freeBytes(folder)
  if (needed <= free) return
  throw new BundleError(
    'disk',
    `${folder} needs ${gigabytes(needed)} (${needed} bytes) more, but only ${gigabytes(free)} (${free} bytes) are free on its disk; make room or set MOMA_MODELS to another folder.`,
  )
}

async function fetchMissing(
  folder: string,
  sources: readonly Source[],
  digest: string,
  name: string,
  options: PullOptions,
  lost: AbortSignal,
): Promise<PullReport> {
  const asked = options.hub ?? hubFromEnvironment()
  const hub = { ...asked, signal: asked.signal ? AbortSignal.any([asked.signal, lost]) : lost }
  const before = await readLock(folder)
  const files = await resolveSources(hub, sources)
  await removeRehearsal(folder, guardName)
  const wanted: LockedFile[] = []
  for (const file of files) if (!(await isThere(folder, file, before, hub.signal))) wanted.push(file)
  await assertSpace(folder, wanted, options.freeBytes ?? freeBytesOf)
  // What was prepared from other weights must not stand in for these.
  if (wanted.length > 0) await rm(join(folder, preparedDecoder), { force: true })
  // The new lock must not vouch for bytes of an older version that lie at the same path.
  for (const file of wanted) await rm(join(folder, file.path), { force: true })
  await writeLock(folder, { formatVersion: 1, bundle: name, sources: digest, files })
  const totalBytes = bytesOf(files)
  let bytesDone = totalBytes - bytesOf(wanted)
  let transferredBytes = 0
  for (const [index, file] of wanted.entries()) {
    const filesBefore = files.length - wanted.length + index
    const progress = (fileBytes: number, filesDone: number) =>
      options.onProgress?.({
        file: file.path,
        fileBytes,
        fileTotalBytes: file.sizeBytes,
        bytes: bytesDone + fileBytes,
        totalBytes,
        filesDone,
        files: files.length,
      })
    await download(hub, file, join(folder, file.path), {
      onBytes: (fileBytes) => progress(fileBytes, filesBefore),
      onTransfer: (bytes) => {
        transferredBytes += bytes
      },
    })
    progress(file.sizeBytes, filesBefore + 1)
    bytesDone += file.sizeBytes
  }
  await removeLeftovers(folder, before, files)
  return { folder, files: files.length, totalBytes, transferredBytes }
}

/** Whether a pull before fetched what measuring needs. */
export function holdsMetrics(lock: Lock | undefined, { sources }: Manifest): boolean {
  const repositories = sources?.filter(({ only }) => only === 'metrics').map(({ repository }) => repository)
  return lock?.files.some(({ origin }) => origin && repositories?.includes(origin.repository)) ?? false
}

/** Files of the lock before that the sources no longer name would otherwise fill the disk unseen. */
async function removeLeftovers(folder: string, before: Lock | undefined, files: readonly LockedFile[]): Promise<void> {
  const kept = new Set(files.map((file) => file.path))
  for (const file of before?.files ?? []) {
    if (kept.has(file.path)) continue
    await rm(join(folder, file.path), { force: true })
    await discardPart(join(folder, file.path))
  }
}

/**
 * Fetches what a bundle lacks and writes its lock; asks nobody where everything is there. Interrupted, it goes on at the next call.
 *
 * The listing and the commits come from @huggingface/hub. The bytes are fetched here: its `downloadFileToCacheDir` starts every
 * file over after a cut, checks no checksum and knows neither signal nor progress.
 *
 * Throws `BundleError`; its fault says of what kind: `access`, `notFound`, `network`, `checksum`, `disk`, `unsafePath`, `busy`, `aborted`.
 */
export async function pullBundle(bundle: Bundle, options: PullOptions = {}): Promise<PullReport> {
  const { manifest, folder } = bundle
  const { name } = manifest
  const lock = await readLock(folder)
  const sources = wantedSources(manifest, options.metrics === true || holdsMetrics(lock, manifest))
  if (sources === undefined) {
    throw new BundleError('manifest', `The bundle ${name} comes with its files; there is nothing to pull.`)
  }
  const digest = sourcesDigest(sources)
  const rehearsed = await isRehearsal(folder)
  if (
    !rehearsed &&
    lock?.sources === digest &&
    (await Promise.all(lock.files.map((file) => hasSize(folder, file)))).every(Boolean)
  ) {
    return { folder, files: lock.files.length, totalBytes: bytesOf(lock.files), transferredBytes: 0 }
  }
  try {
    return await alone(folder, (lost) => fetchMissing(folder, sources, digest, name, options, lost))
  } catch (error) {
    if (error instanceof BundleError) throw error
    if (options.hub?.signal?.aborted) throw stopped(error)
    throw new BundleError('disk', `${folder} can't be used: ${reasonOf(error)}.`, { cause: error })
  }
}
