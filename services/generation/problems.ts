import { ImageError } from '../lib/images/image.ts'
import type { Problem } from '../lib/mesh/generated/moma/generation/v1/Problem.ts'
import { TextError } from '../lib/tokenizers/text.ts'
import type { Verdict } from '../safety/safety.ts'
import { verdictMessage } from '../safety/verdict-message.ts'
import { InvalidInput } from './request.ts'
import type { EndReason, Stage } from './runner/run-store.ts'

/** A request is refused for a reason that whoever sent it is to know; travels as `problem` of the response. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly problem: Problem

  constructor(problem: Problem & { readonly message: string }) {
    super(problem.message)
    this.problem = problem
  }
}

export function invalidInput(field: string, message: string): Refused {
  return new Refused({ message, invalidInput: { field } })
}

export function wrongValue(field: string, value: unknown, allowed: string): Refused {
  return invalidInput(field, new InvalidInput(field, value, allowed).message)
}

/** `what` as in "there is no subject with this id". */
export function notFound(what: string, id: string): Refused {
  return new Refused({ message: `there is no ${what} with this id`, notFound: { id } })
}

export function conflict(idempotencyKey: string): Refused {
  const message = 'idempotencyKey was used before with another request, allowed is the same request or another key'
  return new Refused({ message, conflict: { idempotencyKey } })
}

/** `retryAfterMs` is 0 where waiting does not help. */
export function limitExceeded(limit: string, message: string, retryAfterMs: number): Refused {
  return new Refused({ message, limitExceeded: { limit, retryAfterMs } })
}

export function failed(stage: Stage, message: string): Refused {
  return new Refused({ message, failed: { stage: `STAGE_${stage}`, retryable: true } })
}

/** For a verdict that is not ALLOWED. */
export function rejected(verdict: Verdict): Refused {
  return new Refused(rejection(verdict, rejectionSentence(verdict)))
}

function rejection(verdict: Verdict, message: string): Problem & { readonly message: string } {
  const said = { verdict: verdictMessage(verdict) }
  return verdict.decision === 'REJECTED_PERSON'
    ? { message, personSubjectRejected: said }
    : { message, contentRejected: said }
}

function rejectionSentence({ decision, findings }: Verdict): string {
  const reason = findings[0]?.reason
  const sentence =
    decision === 'REJECTED_PERSON' ? 'the subject is a person, allowed are things' : 'the content is not allowed'
  return reason === undefined ? sentence : `${sentence} (${reason})`
}

/** Why a generation ended without pictures. */
export function endProblem({ message, stage, retryable, verdict }: EndReason): Problem {
  if (verdict) return rejection(verdict, message)
  return { message, failed: { stage: stage === null ? 'STAGE_UNSPECIFIED' : `STAGE_${stage}`, retryable } }
}

/** The response, or the problem in its place; faults of the system are thrown on. */
export async function orProblem<Response extends object>(
  work: () => Promise<Response>,
): Promise<Response | { readonly problem: Problem }> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Refused) return { problem: error.problem }
    if (error instanceof InvalidInput) return { problem: invalidInput(error.field, error.message).problem }
    throw error
  }
}

/** What a check of texts or pictures throws, as a problem of this field. */
export async function about<T>(field: string | ((error: Error) => string), work: () => T | Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof TextError || error instanceof ImageError)) throw error
    throw invalidInput(typeof field === 'string' ? field : field(error), error.message)
  }
}
