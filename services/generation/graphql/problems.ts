import type { Problem__Output as Problem } from '../../lib/mesh/generated/moma/generation/v1/Problem.ts'
import type { Rejected__Output as Rejected } from '../../lib/mesh/generated/moma/generation/v1/Rejected.ts'
import { rounded } from '../../safety/verdict-message.ts'
import { enumValue, stageOf } from './enum-names.ts'

/** The service's problem as the object of the schema; null where there is none. */
export function toProblem(problem: Problem | null | undefined) {
  if (!problem) return null
  const { message } = problem
  switch (problem.kind) {
    case 'invalidInput':
      return { ...named('InvalidInput', 'INVALID_INPUT', message), field: problem.invalidInput?.field, reason: message }
    case 'notFound':
      return { ...named('NotFound', 'NOT_FOUND', message), id: problem.notFound?.id }
    case 'conflict':
      return { ...named('Conflict', 'CONFLICT', message), idempotencyKey: problem.conflict?.idempotencyKey }
    case 'limitExceeded': {
      const retryAfterMs = problem.limitExceeded?.retryAfterMs || null
      const limit = problem.limitExceeded?.limit
      return { ...named('LimitExceeded', 'LIMIT_EXCEEDED', message, retryAfterMs !== null), limit, retryAfterMs }
    }
    case 'personSubjectRejected':
      return {
        ...named('PersonSubjectRejected', 'PERSON_SUBJECT_REJECTED', message),
        ...decision(problem.personSubjectRejected),
      }
    case 'contentRejected':
      return { ...named('ContentRejected', 'CONTENT_REJECTED', message), ...decision(problem.contentRejected) }
    case 'failed': {
      const { stage, retryable = false } = problem.failed ?? {}
      return { ...named('Failed', 'FAILED', message, retryable), stage: stageOf(stage) }
    }
    default:
      throw new TypeError(`a problem of the unknown kind ${problem.kind}`)
  }
}

const named = (typename: string, code: string, message: string, retryable = false) => ({
  __typename: typename,
  code,
  message,
  retryable,
})

/** By which policy, and what was seen: a verdict's first finding is the one that decided. */
function decision(rejected: Rejected | null | undefined) {
  const { findings = [], policyVersion = null } = rejected?.verdict ?? {}
  const [finding] = findings
  if (!finding) return { policyVersion }
  const { stage, detector } = finding
  return { policyVersion, stage: enumValue('STAGE_', stage), detector, ...rounded(finding) }
}

const byTypename = { __resolveType: ({ __typename }: { __typename: string }) => __typename }

/** All of these objects carry their type's name. */
export const problemResolvers = {
  Problem: byTypename,
  CreateSubjectResult: byTypename,
  CreateGenerationResult: byTypename,
  CancelGenerationResult: byTypename,
  DeleteSubjectResult: byTypename,
}
