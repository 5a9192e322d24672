import type { RequestHandler } from 'express'
import type { GenerationClient } from '../../services/generation/client.ts'
import { MeshError } from '../../services/lib/mesh/errors.ts'
import type { Problem__Output as Problem } from '../../services/lib/mesh/generated/moma/generation/v1/Problem.ts'
import type { Logger } from '../../services/lib/mesh/log.ts'
import { tokenPattern } from './assets.ts'
import { sendProblem, statusOf } from './problem.ts'
import { goneSignal } from './request.ts'

export interface UploadOptions {
  readonly generation: Pick<GenerationClient, 'writeUpload' | 'getCapabilities'>
  readonly log: Logger
}

/** How long a client whose upload was refused may go on sending before its connection is ended. */
const lingerMs = 10_000

/** PUT of a promised file by its token: streamed on as it comes, refused as soon as it can't be what was promised. */
export function takeUploads({ generation, log }: UploadOptions): RequestHandler<{ token: string }> {
  return async (request, response) => {
    const { token } = request.params
    const signal = goneSignal(response)
    const refuse = (status: number, detail: string) => {
      sendProblem(response, status, detail)
      // Clients that still send would miss the answer if the connection ended with it.
      request.resume()
      setTimeout(() => request.complete || request.destroy(), lingerMs).unref()
    }
    if (!tokenPattern.test(token)) return refuse(404, 'there is no such upload')
    const contentType = request.headers['content-type']
    if (!contentType?.startsWith('image/')) {
      const shown = contentType === undefined ? 'missing' : JSON.stringify(contentType.slice(0, 80))
      return refuse(415, `the header Content-Type is ${shown}, allowed is the one that createUpload gave`)
    }
    const body = { bytes: 0, tooLong: false }
    try {
      const { maxUploadBytes } = await generation.getCapabilities({}, signal)
      const said = Number(request.headers['content-length'] ?? 0)
      if (said > maxUploadBytes) return refuse(413, tooLong(said, maxUploadBytes))
      const bytes = async function* () {
        for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
          body.bytes += chunk.length
          if (body.bytes > maxUploadBytes) {
            body.tooLong = true
            throw new MeshError('RESOURCE_EXHAUSTED', tooLong(body.bytes, maxUploadBytes))
          }
          yield chunk
        }
      }
      const answer = await generation.writeUpload({ token, contentType }, bytes(), signal).catch((error) => {
        if (body.tooLong) throw new MeshError('RESOURCE_EXHAUSTED', tooLong(body.bytes, maxUploadBytes))
        throw error
      })
      if (answer.problem) return refuse(problemStatus(answer.problem), answer.problem.message)
      response.status(201).json({ uploadId: answer.uploadId })
    } catch (error) {
      if (signal.aborted) return
      if (body.tooLong && error instanceof MeshError) return refuse(413, error.message)
      log.error({ err: error }, 'upload')
      const status = error instanceof MeshError ? statusOf(error) : 500
      refuse(status, status < 500 && error instanceof MeshError ? error.message : 'the upload was not kept, try again')
    }
  }
}

const tooLong = (bytes: number, most: number) => `the file has at least ${bytes} bytes, allowed are ${most}`

function problemStatus({ kind, invalidInput }: Problem): number {
  switch (kind) {
    case 'notFound':
      return 404
    case 'conflict':
      return 409
    case 'limitExceeded':
      return 413
    case 'invalidInput':
      return invalidInput?.field === 'contentType' ? 415 : 400
    default:
      return 422
  }
}
