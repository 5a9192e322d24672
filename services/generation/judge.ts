import type { Verdict } from '../safety/safety.ts'
import { abortable } from './abortable.ts'

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
