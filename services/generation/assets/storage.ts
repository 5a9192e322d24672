import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { Disk } from 'flydrive'
import { FSDriver } from 'flydrive/drivers/fs'
import { systemCode } from '../../lib/bundles/errors.ts'
import { MeshError } from '../../lib/mesh/errors.ts'

/** Files by key: no names, no types, no owners. Throws UNAVAILABLE when the storage can't be reached or is full. */
export interface AssetStorage {
  /** Replaces what is there. Whatever the stream throws is thrown; a part of the file may be left then. */
  write(key: string, content: Uint8Array | AsyncIterable<Uint8Array>): Promise<void>
  /** Throws NOT_FOUND where there is no such file. */
  read(key: string): Promise<Uint8Array>
  /** Up to `length` bytes from `offset` on. Throws NOT_FOUND before the first byte where there is no such file. */
  stream(key: string, offset: number, length: number): AsyncGenerator<Uint8Array>
  /** What is gone already is no error. */
  delete(key: string): Promise<void>
}

export interface BucketOptions {
  readonly bucket: string
  readonly region: string
  /** Of a server that speaks S3; null for Amazon's own. */
  readonly endpoint: string | null
}

/** How long a bucket may leave a request without a word; the SDK asks three times. By itself it waits forever. */
export interface BucketTimeouts {
  /** Until there is a connection. */
  readonly connectMs: number
  /** Without a byte in either direction, in the middle of a file too. */
  readonly silentMs: number
  /** Until the answer begins, with all that is sent before it. */
  readonly answerMs: number
}

const defaultTimeouts: BucketTimeouts = { connectMs: 5000, silentMs: 30_000, answerMs: 120_000 }

/** Up to so many bytes a file is in the page cache sooner than another thread has begun with it. */
const atOnceBytes = 2 ** 20

export function folderStorage(folder: string): AssetStorage {
  const whole = storage(new Disk(new FSDriver({ location: folder, visibility: 'private' })), true)
  return {
    ...whole,
    write(key, content) {
      if (!(content instanceof Uint8Array) || content.length > atOnceBytes) return whole.write(key, content)
      return told('written', async () => {
        const path = join(folder, key)
        try {
          writeFileSync(path, content)
        } catch (error) {
          if (!isMissing(error)) throw error
          mkdirSync(dirname(path), { recursive: true })
          writeFileSync(path, content)
        }
      })
    },
  }
}

/** Credentials come from where the AWS SDK looks for them. */
export async function bucketStorage(
  { bucket, region, endpoint }: BucketOptions,
  { connectMs, silentMs, answerMs } = defaultTimeouts,
): Promise<AssetStorage> {
  // The SDK is large, and most meshes have no bucket.
  const { S3Driver } = await import('flydrive/drivers/s3')
  const place = endpoint === null ? {} : { endpoint, forcePathStyle: true }
  const requestHandler = {
    connectionTimeout: connectMs,
    socketTimeout: silentMs,
    requestTimeout: answerMs,
    // Without it the SDK only writes a line.
    throwOnRequestTimeout: true,
  }
  const driver = new S3Driver({ bucket, region, ...place, requestHandler, visibility: 'private', supportsACL: false })
  // The SDK does not notice a body that breaks off, so it is given whole ones.
  return storage(new Disk(driver), false)
}

function storage(disk: Disk, takesStreams: boolean): AssetStorage {
  return {
    async write(key, content) {
      if (content instanceof Uint8Array) return told('written', () => disk.put(key, content))
      if (!takesStreams) {
        const whole = Buffer.concat(await Array.fromAsync(content))
        return told('written', () => disk.put(key, whole))
      }
      let broken: { readonly error: unknown } | undefined
      const watched = async function* () {
        try {
          yield* content
        } catch (error) {
          broken = { error }
          throw error
        }
      }
      try {
        await told('written', () => disk.putStream(key, Readable.from(watched(), { objectMode: false })))
      } catch (error) {
        throw broken ? broken.error : error
      }
    },
    read: (key) => told('read', () => disk.getBytes(key)),
    async *stream(key, offset, length) {
      let [skip, left] = [offset, length]
      const source = await told('read', () => disk.getStream(key))
      try {
        for await (const chunk of source as AsyncIterable<Uint8Array>) {
          const wanted = chunk.subarray(Math.min(skip, chunk.length)).subarray(0, left)
          skip -= Math.min(skip, chunk.length)
          left -= wanted.length
          if (wanted.length > 0) yield wanted
          if (left <= 0) return
        }
      } catch (error) {
        throw translate('read', error)
      } finally {
        source.destroy()
      }
    },
    delete: (key) => told('deleted', () => disk.delete(key)),
  }
}

async function told<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw translate(what, error)
  }
}

function translate(what: string, error: unknown): MeshError {
  if (error instanceof MeshError) return error
  if (isMissing(error)) return new MeshError('NOT_FOUND', 'there is no such file any more', error)
  return new MeshError('UNAVAILABLE', `generation: files can't be ${what} now, try again later`, error)
}

function isMissing(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return systemCode(error) === 'ENOENT' || error.name === 'NoSuchKey' || isMissing(error.cause)
}
