import { createHash } from 'node:crypto'
import { detectFormat, type ReadableFormat } from '../lib/images/format.ts'
import type { Slots } from '../lib/mesh/slots.ts'
import type { Assets } from './assets/assets.ts'
import type { Database, Queries } from './db/database.ts'
import { newId, newToken, sha256 } from './ids.ts'
import type { GenerationLimits } from './limits.ts'
import { invalidInput, limitExceeded, Refused, wrongValue } from './problems.ts'
import { lockTenant } from './store/generations.ts'
import { findByTokenHash, findUnused, insertUpload, storeFile, type UploadRow } from './store/uploads.ts'
import { untilSilent } from './upload-stream.ts'

const formats: Readonly<Record<string, ReadableFormat>> = {
  'image/png': 'png',
  'image/jpeg': 'jpeg',
  'image/webp': 'webp',
  'image/avif': 'avif',
  'image/tiff': 'tiff',
  'image/gif': 'gif',
}

/** What `detectFormat` looks at. */
const headBytes = 1024

export interface PromisedUpload {
  readonly id: string
  readonly token: string
  readonly expiresAt: Date
}

/** Throws Refused on what does not fit. */
export interface Uploads {
  promise(
    tenant: string,
    file: { readonly contentType: string; readonly byteLength: number; readonly sha256: string },
  ): Promise<PromisedUpload>
  /**
   * Takes the bytes as they come and gives the upload's id. Nothing is kept unless type, length, checksum and the file's
   * own first bytes fit the promise. Written again with the same bytes it answers the same.
   */
  write(token: string, contentType: string, bytes: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string>
}

export interface UploadsOptions {
  readonly db: Database
  readonly assets: Assets
  readonly limits: GenerationLimits
  /** Files that are taken at once. Every tenant has a line of its own. */
  readonly slots: Slots
  now(): Date
}

export function createUploads({ db, assets, limits, slots, now }: UploadsOptions): Uploads {
  const later = (ms: number) => new Date(now().getTime() + ms)

  const findOpen = async (token: string): Promise<{ upload: UploadRow; storedSha256: string | null }> => {
    const found = await db.run((queries) => findByTokenHash(queries, sha256(token)))
    const isOpen = found && found.upload.createdAt.getTime() + limits.uploadTokenMs > now().getTime()
    if (!isOpen) {
      const message = 'this upload is unknown or was not written in time, ask for another one'
      throw new Refused({ message, notFound: { id: found?.upload.id ?? '' } })
    }
    return { upload: found.upload, storedSha256: found.file?.sha256 ?? null }
  }

  const requireSameBytes = (upload: UploadRow, stored: string, written: string): string => {
    if (stored === written) return upload.id
    throw invalidInput('body', 'this upload was written before with other bytes, ask for another one')
  }

  const requireRoom = async (queries: Queries, tenant: string, byteLength: number): Promise<void> => {
    const { maxUnusedUploads: maxFiles, maxUnusedUploadBytes: maxBytes, uploadKeptMs } = limits
    const { files, bytes, until } = await findUnused(queries, tenant, now(), uploadKeptMs)
    if (files < maxFiles && bytes + byteLength <= maxBytes) return
    const message =
      `${files} uploads with ${bytes} bytes wait to be written or to be made a subject of, ` +
      `allowed are ${maxFiles} with ${maxBytes} bytes`
    throw limitExceeded('uploads', message, until === null ? 0 : until.getTime() - now().getTime())
  }

  return {
    async promise(tenant, { contentType, byteLength, sha256: checksum }) {
      if (!Object.hasOwn(formats, contentType)) {
        throw wrongValue('contentType', contentType, Object.keys(formats).join(', '))
      }
      const { maxUploadBytes } = limits
      if (!Number.isSafeInteger(byteLength) || byteLength < 1 || byteLength > maxUploadBytes) {
        throw wrongValue('byteLength', byteLength, `a whole number from 1 to ${maxUploadBytes}`)
      }
      const promisedSha256 = checksum.toLowerCase()
      if (!/^(?:[0-9a-f]{64})?$/.test(promisedSha256)) {
        throw wrongValue('sha256', checksum, '64 hexadecimal digits')
      }
      const token = newToken()
      const upload: UploadRow = {
        id: newId('up'),
        tenant,
        tokenHash: sha256(token),
        contentType,
        byteLength,
        promisedSha256: promisedSha256 || null,
        assetKey: null,
        createdAt: now(),
        expiresAt: later(limits.uploadTokenMs),
      }
      await db.transaction(async (queries) => {
        // Transactions in PGlite come one after the other by themselves.
        if (db.kind === 'postgres') await lockTenant(queries, tenant, 'uploads')
        await requireRoom(queries, tenant, byteLength)
        await insertUpload(queries, upload)
      })
      return { id: upload.id, token, expiresAt: upload.expiresAt }
    },

    async write(token, contentType, bytes, signal) {
      const { upload, storedSha256 } = await findOpen(token)
      const sent = contentType.split(';')[0]!.trim().toLowerCase()
      if (sent !== upload.contentType) throw wrongValue('contentType', sent, `${upload.contentType} as promised`)
      using _slot = await slots.acquire(signal, upload.tenant)
      const check = checkBytes(upload)
      const checked = check.pass(untilSilent(bytes, limits.uploadSilentMs))
      if (storedSha256 !== null) {
        for await (const _ of checked);
        return requireSameBytes(upload, storedSha256, check.sha256())
      }
      const { contentType: type, byteLength } = upload
      const file = { contentType: type, byteLength, sha256: check.sha256 }
      const written = await assets.writeUpload(upload.tenant, file, checked)
      let stored = false
      try {
        stored = await db.transaction(async (queries) => {
          if (!(await storeFile(queries, upload.id, written.key, later(limits.uploadKeptMs)))) return false
          await assets.keep(queries, [written])
          return true
        })
      } finally {
        if (!stored) await assets.abandon([written.key])
      }
      if (stored) return upload.id
      // Somebody wrote it at the same time and was first.
      const first = await findOpen(token)
      return requireSameBytes(upload, first.storedSha256 ?? '', written.sha256)
    },
  }
}

/** Lets pass what fits the promise. Throws Refused as soon as something does not. */
function checkBytes({ byteLength, contentType, promisedSha256 }: UploadRow) {
  const hash = createHash('sha256')
  let digest = ''
  let length = 0
  const head = Buffer.alloc(Math.min(headBytes, byteLength))

  const checkHead = () => {
    const detected = detectFormat(head)
    if (detected.readable && detected.format === formats[contentType]) return
    const found = detected.readable ? detected.format : detected.name
    throw invalidInput('body', `the file is ${found}, allowed is ${contentType} as promised`)
  }

  return {
    sha256: () => digest,
    async *pass(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const chunk of bytes) {
        if (length + chunk.length > byteLength) {
          throw invalidInput(
            'body',
            `the file has more than ${byteLength} bytes, allowed are ${byteLength} as promised`,
          )
        }
        const missing = length < head.length
        if (missing) head.set(chunk.subarray(0, head.length - length), length)
        length += chunk.length
        if (missing && length >= head.length) checkHead()
        hash.update(chunk)
        yield chunk
      }
      if (length < byteLength) {
        throw invalidInput('body', `the file has ${length} bytes, allowed are ${byteLength} as promised`)
      }
      digest = hash.digest('hex')
      if (promisedSha256 !== null && digest !== promisedSha256) {
        throw invalidInput('body', `the file's SHA-256 is ${digest}, allowed is ${promisedSha256} as promised`)
      }
    },
  }
}
