import type { Hash } from 'node:crypto'
import { type FileHandle, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeAt } from '../write-at.ts'
import { type Digest, hashFile, startHash } from './digest.ts'
import { BundleError, reasonOf, systemCode } from './errors.ts'
import { fileUrl, type Hub, refusal } from './hub.ts'
import type { LockedFile } from './lock.ts'
import { stopped, withRetries } from './retry.ts'

/** A connection that brought less than this before it was cut counts as one that brought nothing. */
const worthwhileBytes = 1 << 20

/** What is known of a `.part` file: which bytes it is a part of, and the tag of the server that they came from. */
interface PartOf {
  readonly digest: Digest
  readonly sizeBytes: number
  readonly etag?: string
}

interface Part {
  readonly path: string
  readonly handle: FileHandle
  bytes: number
  hash: Hash
  etag: string | undefined
}

export interface DownloadEvents {
  /** Bytes of the file that are on disk; falls back to 0 where the server starts over. */
  readonly onBytes?: (bytes: number) => void
  /** Bytes that came over the network, each once. */
  readonly onTransfer?: (bytes: number) => void
}

const partPath = (destination: string): string => `${destination}.part`
const notePath = (destination: string): string => `${destination}.part.json`

function diskFault(error: unknown, path: string): BundleError {
  const code = systemCode(error)
  const why =
    code === 'ENOSPC'
      ? 'there is no space left on the disk'
      : code === 'EDQUOT'
        ? 'the disk quota is used up'
        : reasonOf(error)
  return new BundleError('disk', `${path} can't be written: ${why}.`, { cause: error })
}

async function readNote(file: LockedFile, destination: string): Promise<PartOf | undefined> {
  const content = await readFile(notePath(destination), 'utf8').catch(() => undefined)
  if (content === undefined) return undefined
  try {
    const note: unknown = JSON.parse(content)
    if (typeof note !== 'object' || note === null || !('hex' in note) || !('sizeBytes' in note)) return undefined
    if (note.hex !== file.digest.hex || note.sizeBytes !== file.sizeBytes) return undefined
    const etag = 'etag' in note && typeof note.etag === 'string' ? { etag: note.etag } : {}
    return { digest: file.digest, sizeBytes: file.sizeBytes, ...etag }
  } catch {
    return undefined
  }
}

async function writeNote(file: LockedFile, destination: string, etag: string | undefined): Promise<void> {
  const note = await open(notePath(destination), 'w')
  try {
    await note.writeFile(JSON.stringify({ hex: file.digest.hex, sizeBytes: file.sizeBytes, etag }))
  } finally {
    await note.close()
  }
}

/** Bytes of an unfinished download that the next pull can go on from: 0 where they belong to another version of the file. */
export async function resumableBytes(file: LockedFile, destination: string): Promise<number> {
  if ((await readNote(file, destination)) === undefined) return 0
  const part = await stat(partPath(destination)).catch(() => undefined)
  return part?.isFile() && part.size <= file.sizeBytes ? part.size : 0
}

export async function discardPart(destination: string): Promise<void> {
  await rm(partPath(destination), { force: true })
  await rm(notePath(destination), { force: true })
}

async function openPart(file: LockedFile, destination: string, signal: AbortSignal | undefined): Promise<Part> {
  const path = partPath(destination)
  const bytes = await resumableBytes(file, destination)
  const note = bytes > 0 ? await readNote(file, destination) : undefined
  const hash = startHash(file.digest.algorithm, file.sizeBytes)
  if (bytes > 0) await hashFile(path, hash, undefined, signal)
  else {
    await mkdir(dirname(path), { recursive: true })
    await discardPart(destination)
    await writeNote(file, destination, undefined)
  }
  return { path, handle: await open(path, bytes > 0 ? 'r+' : 'w'), bytes, hash, etag: note?.etag }
}

async function startOver(file: LockedFile, part: Part): Promise<void> {
  await part.handle.truncate(0)
  part.bytes = 0
  part.hash = startHash(file.digest.algorithm, file.sizeBytes)
}

/** A tag that If-Range takes: strong ones only (RFC 9110, 13.1.5). */
const strongTag = (response: Response): string | undefined => {
  const etag = response.headers.get('etag') ?? undefined
  return etag?.startsWith('W/') ? undefined : etag
}

/** Whether the answer goes on where the part ends. Throws `network` where it is another range than the one asked for. */
function continues(response: Response, file: LockedFile, part: Part): boolean {
  if (response.status !== 206) return false
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '')
  const total = range?.[2] === '*' ? file.sizeBytes : Number(range?.[2])
  if (range && Number(range[1]) === part.bytes && total === file.sizeBytes) return true
  throw new BundleError(
    'network',
    `The server sent the range ${response.headers.get('content-range')} of ${file.path} when asked for bytes ${part.bytes} of ${file.sizeBytes}.`,
  )
}

async function receive(
  file: LockedFile,
  part: Part,
  body: AsyncIterable<Uint8Array>,
  seen: () => void,
  events: DownloadEvents,
) {
  for await (const piece of body) {
    seen()
    if (part.bytes + piece.length > file.sizeBytes) {
      throw new BundleError(
        'checksum',
        `The server sends more than the ${file.sizeBytes} bytes that ${file.path} should have.`,
      )
    }
    try {
      await writeAt(part.handle, piece, part.bytes)
    } catch (error) {
      throw diskFault(error, part.path)
    }
    part.hash.update(piece)
    part.bytes += piece.length
    events.onTransfer?.(piece.length)
    events.onBytes?.(part.bytes)
  }
}

function retryAfterMs(response: Response): number | undefined {
  const seconds = Number(response.headers.get('retry-after'))
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : undefined
}

async function transfer(
  hub: Hub,
  file: LockedFile,
  part: Part,
  destination: string,
  events: DownloadEvents,
): Promise<void> {
  const { repository, commit, path } = origin(file)
  const idle = new AbortController()
  const giveUp = () => idle.abort(new Error(`nothing came for ${hub.idleTimeoutMs} ms`))
  const timer = setTimeout(giveUp, hub.idleTimeoutMs)
  try {
    const response = await fetch(fileUrl(hub, repository, commit, path), {
      signal: hub.signal ? AbortSignal.any([hub.signal, idle.signal]) : idle.signal,
      headers: {
        // A compressed answer would have other offsets than the file.
        'Accept-Encoding': 'identity',
        ...(hub.token ? { Authorization: `Bearer ${hub.token}` } : {}),
        ...(part.bytes > 0 ? { Range: `bytes=${part.bytes}-` } : {}),
        ...(part.bytes > 0 && part.etag ? { 'If-Range': part.etag } : {}),
      },
    })
    if (!response.ok || response.body === null) {
      await response.body?.cancel()
      if (response.status === 416) await startOver(file, part)
      // Signed addresses run out: asking the hub again brings a fresh one.
      const elsewhere = response.redirected && new URL(response.url).origin !== new URL(hub.url).origin
      const expired = response.status === 416 || (elsewhere && response.status < 500 && response.status !== 404)
      const what = `${repository}/${path} at ${commit}`
      if (expired)
        throw new BundleError(
          'network',
          `The server that ${hub.url} sent us to for ${what} answered with status ${response.status}.`,
        )
      throw refusal(response.status, repository, what, hub, retryAfterMs(response))
    }
    if (!continues(response, file, part) && part.bytes > 0) {
      await startOver(file, part)
      events.onBytes?.(0)
    }
    const etag = strongTag(response)
    if (etag !== part.etag) {
      part.etag = etag
      await writeNote(file, destination, etag)
    }
    await receive(file, part, response.body, () => timer.refresh(), events)
  } catch (error) {
    if (hub.signal?.aborted) throw stopped(error)
    if (error instanceof BundleError) throw error
    if (systemCode(error) === 'ENOSPC') throw diskFault(error, part.path)
    throw new BundleError('network', `The connection for ${file.path} was cut: ${reasonOf(error)}.`, { cause: error })
  } finally {
    clearTimeout(timer)
  }
  if (part.bytes < file.sizeBytes) {
    throw new BundleError(
      'network',
      `The connection for ${file.path} ended after ${part.bytes} of ${file.sizeBytes} bytes.`,
    )
  }
}

function origin(file: LockedFile): NonNullable<LockedFile['origin']> {
  if (file.origin) return file.origin
  throw new BundleError('lock', `The lock does not say where ${file.path} comes from.`)
}

/**
 * Brings one file to `destination`: on from a `.part` file where there is one, hashed while it arrives, put in place whole.
 * Cut connections are taken up again. Throws `BundleError`: `checksum` (the part is removed), `disk`, `access`, `notFound`, `network`,
 * `aborted` (the part stays, as it does for `disk` and `network`).
 */
export async function download(
  hub: Hub,
  file: LockedFile,
  destination: string,
  events: DownloadEvents = {},
): Promise<void> {
  const part = await openPart(file, destination, hub.signal).catch((error: unknown) => {
    if (hub.signal?.aborted) throw stopped(error)
    throw error instanceof BundleError ? error : diskFault(error, partPath(destination))
  })
  events.onBytes?.(part.bytes)
  let bytesAtLastCut = part.bytes
  const progressed = () => {
    const worthwhile = part.bytes - bytesAtLastCut >= worthwhileBytes
    bytesAtLastCut = part.bytes
    return worthwhile
  }
  let broken = false
  try {
    const attempt = async () => {
      if (part.bytes < file.sizeBytes) await transfer(hub, file, part, destination, events)
    }
    await withRetries(hub.retry, hub.signal, attempt, progressed)
    const hex = part.hash.digest('hex')
    if (hex !== file.digest.hex) {
      throw new BundleError(
        'checksum',
        `${file.path} arrived with the ${file.digest.algorithm} ${hex}; it should have ${file.digest.hex}. It was removed; pull again.`,
      )
    }
    await part.handle.sync()
  } catch (error) {
    broken = error instanceof BundleError && error.fault === 'checksum'
    throw error
  } finally {
    await part.handle.close()
    if (broken) await discardPart(destination)
  }
  await rename(part.path, destination).catch((error: unknown) => {
    throw diskFault(error, destination)
  })
  await discardPart(destination)
}
