import { pipeline } from 'node:stream/promises'
import type { Request, RequestHandler, Response } from 'express'
import type { GenerationClient, ReadableAsset } from '../../services/generation/client.ts'
import { MeshError } from '../../services/lib/mesh/errors.ts'
import type { Logger } from '../../services/lib/mesh/log.ts'
import { sendProblem, statusOf } from './problem.ts'
import { goneSignal } from './request.ts'

/** What tokens look like; anything else is no asset, and no service is asked. */
export const tokenPattern = /^[\w.~-]{1,1024}$/

export interface AssetOptions {
  readonly generation: Pick<GenerationClient, 'readAsset'>
  /** Whether pages of other origins may show the pictures. */
  readonly crossOrigin: boolean
  readonly log: Logger
}

/** GET and HEAD of a picture by its token: whole, a range of it, or nothing when the client has it. */
export function serveAssets({ generation, crossOrigin, log }: AssetOptions): RequestHandler<{ token: string }> {
  return async (request, response) => {
    const { token } = request.params
    const signal = goneSignal(response)
    try {
      if (!tokenPattern.test(token)) throw new MeshError('NOT_FOUND', 'there is no such picture')
      const isWhole = request.method === 'GET' && request.headers.range === undefined
      // One byte, where only what is said of it matters.
      await using whole = released(await generation.readAsset({ token, ...(isWhole ? {} : { length: 1 }) }, signal))
      const { byteLength, sha256 } = whole.header
      describe(response, whole, crossOrigin)
      const etag = `"${sha256}"`
      response.set('etag', etag)
      if (has(request.get('if-none-match'), etag)) {
        response.status(304).end()
        return
      }
      const range = rangeOf(request, etag, byteLength)
      if (range === 'unsatisfiable') {
        response.set('content-range', `bytes */${byteLength}`)
        sendProblem(response, 416, `the range ${request.headers.range} is outside of the picture's ${byteLength} bytes`)
        return
      }
      const length = range ? range.end - range.start + 1 : byteLength
      response.set('content-length', String(length))
      if (range) {
        response.status(206).set('content-range', `bytes ${range.start}-${range.end}/${byteLength}`)
      }
      const isHead = request.method === 'HEAD'
      await using part = released(
        isWhole || isHead
          ? whole
          : await generation.readAsset(range ? { token, offset: range.start, length } : { token }, signal),
      )
      // Storage is asked only now; until something is sent the answer can still be another one.
      const first = await part.bytes.next()
      if (isHead) response.end()
      else await pipeline(startingWith(first, part.bytes), response)
    } catch (error) {
      if (signal.aborted) return
      if (response.headersSent) {
        log.warn({ err: error }, 'asset broke off')
        response.destroy()
        return
      }
      for (const name of ['content-length', 'content-range', 'content-type', 'etag']) response.removeHeader(name)
      fail(response, error, log)
    }
  }
}

function describe(response: Response, { header: { contentType } }: ReadableAsset, crossOrigin: boolean): void {
  response.set({
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=31536000, immutable',
    'content-disposition': 'inline',
    // The service keeps pictures alone; nothing else is ever shown as what it says it is.
    'content-type': /^image\/[a-z0-9.+-]+$/.test(contentType) ? contentType : 'application/octet-stream',
    'cross-origin-resource-policy': crossOrigin ? 'cross-origin' : 'same-origin',
  })
}

/** RFC 9110, 13.1.2, also where the request asks caches on the way to look again. */
function has(known: string | undefined, etag: string): boolean {
  const tags = known?.split(',').map((tag) => tag.trim().replace(/^W\//, '')) ?? []
  return tags.includes(etag) || tags.includes('*')
}

function rangeOf(
  request: Request<{ token: string }>,
  etag: string,
  byteLength: number,
): { readonly start: number; readonly end: number } | 'unsatisfiable' | null {
  const condition = request.get('if-range')
  if (request.method !== 'GET' || (condition !== undefined && condition !== etag)) return null
  const ranges = request.range(byteLength)
  if (ranges === -1) return 'unsatisfiable'
  // Several ranges, and what is no range at all, may be answered with the whole (RFC 9110, 14.2).
  if (ranges === undefined || ranges === -2 || ranges.type !== 'bytes' || ranges.length !== 1) return null
  return ranges[0]!
}

async function* startingWith(first: IteratorResult<Uint8Array, void>, rest: AsyncIterable<Uint8Array>) {
  if (first.done) return
  yield first.value
  yield* rest
}

/** Ends the call when the bytes are not read to their end. */
function released(asset: ReadableAsset): ReadableAsset & AsyncDisposable {
  return { ...asset, [Symbol.asyncDispose]: async () => void (await asset.bytes.return()) }
}

function fail(response: Response, error: unknown, log: Logger): void {
  if (error instanceof MeshError && statusOf(error) < 500) {
    sendProblem(response, statusOf(error), error.code === 'NOT_FOUND' ? 'there is no such picture' : error.message)
    return
  }
  log.error({ err: error }, 'asset')
  const status = error instanceof MeshError ? statusOf(error) : 500
  sendProblem(response, status, status === 500 ? 'something went wrong here' : 'try again later')
}
