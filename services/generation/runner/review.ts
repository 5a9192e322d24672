import { translateError } from '../../lib/mesh/errors.ts'
import type { Verdict } from '../../safety/safety.ts'
import { abortable } from '../abortable.ts'
import { Over } from './faults.ts'
import type { Stage } from './run-store.ts'

/** A verdict, within `timeoutMs` whatever the judge does. Throws what the judge throws, a TimeoutError, or the signal's reason. */
export async function judge(
  ask: (signal: AbortSignal) => Promise<Verdict>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Verdict> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
  bounded.throwIfAborted()
  return abortable(ask(bounded), bounded)
}

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
