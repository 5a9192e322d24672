import { type Code, translateError } from '../../lib/mesh/errors.ts'
import type { EndReason, EndStatus, Stage } from './run-store.ts'

/** A generation is over without pictures, for this reason. */
export class Over extends Error {
  override readonly name = 'Over'
  readonly status: EndStatus
  readonly reason: EndReason

  constructor(status: EndStatus, reason: EndReason) {
    super(reason.message)
    this.status = status
    this.reason = reason
  }
}

/** This attempt is not to go on: asked to stop, ended, or a newer one has begun. */
export class Stopped extends Error {
  override readonly name = 'Stopped'
}

/** What another attempt would meet again. */
const permanent: ReadonlySet<Code> = new Set([
  'INVALID_ARGUMENT',
  'NOT_FOUND',
  'FAILED_PRECONDITION',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'PERMISSION_DENIED',
  'UNAUTHENTICATED',
  'DATA_LOSS',
])

/** Whether another attempt may get further; a service that failed inside is asked once more, like one that is gone. */
export function isPassing(error: unknown): boolean {
  return !permanent.has(translateError(error, 'generation').code)
}

/** Why a fault ended a generation, in one sentence without paths. */
export function faultReason(error: unknown, stage: Stage | null): EndReason {
  const { code, message } = translateError(error, 'generation')
  const retryable = !permanent.has(code)
  return { message: retryable ? `${message}; it was tried several times` : message, stage, retryable, verdict: null }
}
