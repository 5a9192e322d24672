import { translateError } from '../../lib/mesh/errors.ts'
import type { Verdict } from '../../safety/safety.ts'
import { Over } from './faults.ts'
import type { Stage } from './run-store.ts'

/**
 * Goes on only with a verdict that allows. Throws Over: REJECTED with a verdict that doesn't, FAILED where there is none
 * — nothing is drawn or shown then. Throws the signal's reason when that is why there is none.
 */
export async function review(
  stage: Stage,
  what: string,
  verdict: Promise<Verdict>,
  signal: AbortSignal,
): Promise<Verdict> {
  let judged: Verdict
  try {
    judged = await verdict
  } catch (error) {
    signal.throwIfAborted()
    const message = `${what} could not be judged: ${translateError(error, 'safety').message}; nothing is shown without a verdict`
    throw new Over('FAILED', { message, stage, retryable: true, verdict: null })
  }
  if (judged.decision === 'ALLOWED') return judged
  const seen = judged.findings[0]?.reason ?? 'the policy does not allow it'
  throw new Over('REJECTED', { message: `${what} was rejected: ${seen}`, stage, retryable: false, verdict: judged })
}
