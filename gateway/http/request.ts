import { randomUUID } from 'node:crypto'
import type { Request, RequestHandler, Response } from 'express'
import { withCallFields } from '../../services/lib/mesh/log.ts'

/** A signal that is aborted when the client goes away before its answer is complete. */
export function goneSignal(response: Response): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) gone.abort()
  })
  return gone.signal
}

/** The id that the client gave its request, or a new one. */
export function requestIdOf({ headers }: Pick<Request, 'headers'>): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID()
}

/** Everything a request leads to, in other services too, carries its id; so does its response. */
export const carryRequestId: RequestHandler = (request, response, next) => {
  const requestId = requestIdOf(request)
  response.set('x-request-id', requestId)
  withCallFields({ requestId }, next)
}
