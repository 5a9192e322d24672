/** A mean over subjects, with its standard error, which one subject alone does not have. */
export interface Estimate {
  readonly mean: number
  readonly standardError: number | null
  readonly subjects: number
}

/** The mean, or null of no values. */
export function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length
}

/** s/√n with the sample's standard deviation s; null for fewer than two values. */
export function standardError(values: readonly number[]): number | null {
  const middle = mean(values)
  if (middle === null || values.length < 2) return null
  const squares = values.reduce((sum, value) => sum + (value - middle) ** 2, 0)
  return Math.sqrt(squares / (values.length - 1) / values.length)
}

/**
 * The mean of one value a subject. Pictures of one subject resemble each other, so subjects, not pictures, are what the
 * error counts. Null of no values.
 */
export function estimate(bySubject: readonly number[]): Estimate | null {
  const middle = mean(bySubject)
  if (middle === null) return null
  return { mean: middle, standardError: standardError(bySubject), subjects: bySubject.length }
}

/** How much larger `a` is than `b`, subject by subject; subjects that only one of them has are left out. */
export function pairedDifference(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): Estimate | null {
  const differences: number[] = []
  for (const [subject, value] of a) {
    const other = b.get(subject)
    if (other !== undefined) differences.push(value - other)
  }
  return estimate(differences)
}

/** What a difference says of an ordering: more than two standard errors above zero it holds, below it is reversed. */
export type Verdict = 'holds' | 'reversed' | 'undecided'

export function verdictOf(difference: Estimate): Verdict {
  const { mean: middle, standardError: error } = difference
  if (error === null || Math.abs(middle) <= 2 * error) return 'undecided'
  return middle > 0 ? 'holds' : 'reversed'
}
