import { STATUS_CODES } from 'node:http'
import type { Response } from 'express'
import type { Code, MeshError } from '../../services/lib/mesh/errors.ts'

/** Answers with a problem (RFC 9457); does nothing when the answer has begun. */
export function sendProblem(response: Response, status: number, detail: string): void {
  if (response.headersSent || response.destroyed) return
  response
    .status(status)
    .set('cache-control', 'no-store')
    .type('application/problem+json')
    .send(JSON.stringify({ type: 'about:blank', title: STATUS_CODES[status], status, detail }))
}

const statuses: Partial<Record<Code, number>> = {
  INVALID_ARGUMENT: 400,
  UNAUTHENTICATED: 401,
  PERMISSION_DENIED: 403,
  NOT_FOUND: 404,
  FAILED_PRECONDITION: 409,
  ALREADY_EXISTS: 409,
  RESOURCE_EXHAUSTED: 429,
  UNAVAILABLE: 503,
  DEADLINE_EXCEEDED: 504,
}

/** The HTTP status that says the same as a service's error. */
export function statusOf({ code }: MeshError): number {
  return statuses[code] ?? 500
}
