import { invalid } from '../lib/mesh/errors.ts'
import type { WriteUploadHeader__Output } from '../lib/mesh/generated/moma/generation/v1/WriteUploadHeader.ts'
import type { WriteUploadRequest__Output } from '../lib/mesh/generated/moma/generation/v1/WriteUploadRequest.ts'
import { invalidInput } from './problems.ts'

const pieceBytes = 2 ** 20

export interface UploadStream {
  readonly header: WriteUploadHeader__Output
  readonly bytes: AsyncGenerator<Uint8Array>
}

/** Takes the header off the stream. Throws INVALID_ARGUMENT where it is not first, or comes twice. */
export async function readUploadStream(requests: AsyncIterable<WriteUploadRequest__Output>): Promise<UploadStream> {
  const pieces = requests[Symbol.asyncIterator]()
  const first = await pieces.next()
  const header = first.done ? undefined : first.value.header
  if (!header) throw invalid('piece', first.done ? 'missing' : 'data', 'a header before the bytes')
  return { header, bytes: readBytes(pieces) }
}

/** The bytes as they come. Throws Refused once nothing has come for `silentMs`. */
export async function* untilSilent(bytes: AsyncIterable<Uint8Array>, silentMs: number): AsyncGenerator<Uint8Array> {
  const pieces = bytes[Symbol.asyncIterator]()
  let isSilent = false
  const next = () => {
    const silence = Promise.withResolvers<never>()
    const timer = setTimeout(() => {
      isSilent = true
      silence.reject(
        invalidInput('body', `nothing of the file came for ${silentMs} ms, allowed are shorter pauses; send it again`),
      )
    }, silentMs)
    return Promise.race([pieces.next(), silence.promise]).finally(() => clearTimeout(timer))
  }
  try {
    for (let piece = await next(); !piece.done; piece = await next()) yield piece.value
  } finally {
    // It would wait for the piece that does not come.
    if (!isSilent) await pieces.return?.()
  }
}

async function* readBytes(pieces: AsyncIterator<WriteUploadRequest__Output>): AsyncGenerator<Uint8Array> {
  for (;;) {
    const { done, value } = await pieces.next()
    if (done) return
    if (!value.data) throw invalid('piece', value.header ? 'a second header' : 'missing', 'bytes after the header')
    if (value.data.length > pieceBytes) {
      throw invalid('data', `${value.data.length} bytes`, `at most ${pieceBytes} bytes`)
    }
    yield value.data
  }
}
