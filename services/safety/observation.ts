import type { Decision, Finding, Verdict } from './safety.ts'

/** What a judge saw, and what follows from it by itself. */
export interface Observation extends Finding {
  /** Null where it decides nothing. */
  readonly decides: Exclude<Decision, 'ALLOWED'> | null
}

/** Sexual content is the graver reason: it is the one that is given where there are both. */
const gravity = ['REJECTED_CONTENT', 'REJECTED_PERSON', null] as const

/** Decisive observations first; a verdict allows where none decides. */
export function verdictOf(observations: readonly Observation[], policyVersion: string): Verdict {
  const sorted = [...observations].sort(
    (a, b) => gravity.indexOf(a.decides) - gravity.indexOf(b.decides) || b.score - a.score,
  )
  return {
    decision: sorted[0]?.decides ?? 'ALLOWED',
    findings: sorted.map(({ decides: _, ...finding }) => finding),
    policyVersion,
  }
}

/** Whether a verdict stands already, so that nothing more need be looked at. */
export function decides(observations: readonly Observation[]): boolean {
  return observations.some((one) => one.decides !== null)
}
