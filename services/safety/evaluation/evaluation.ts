import type { RgbImage } from '../../lib/images/image.ts'
import type { Decision, Finding, Verdict } from '../safety.ts'
import { type Interval, wilsonInterval } from './wilson.ts'

/** One text or picture with what was decided about it. */
export interface Case {
  /** The text, or the picture's path. */
  readonly name: string
  readonly expected: Decision
  /** Null where no verdict came about. */
  readonly verdict: Verdict | null
  readonly error: string | null
  readonly right: boolean
  readonly elapsedMs: number
  /** Of a picture, as it was judged; kept for the worst cases alone. */
  readonly picture: (() => Promise<RgbImage>) | null
}

export interface CaseSet {
  readonly name: string
  readonly cases: readonly Case[]
}

/** A set in numbers. */
export interface Row {
  readonly set: string
  readonly expected: readonly Decision[]
  readonly count: number
  readonly right: number
  /** Of the right ones, 0 … 1. */
  readonly rate: number
  readonly interval: Interval
  readonly medianMs: number
  readonly slowestMs: number
}

/**
 * Whether a decision is what was expected: a refusal is right for whatever reason it is given, as a naked person may be
 * refused for either.
 */
export function isRight(expected: Decision, decision: Decision | undefined): boolean {
  if (decision === undefined) return false
  return (expected === 'ALLOWED') === (decision === 'ALLOWED')
}

/** Judges and notes what came of it; a judge that fails is a case that is not right. */
export async function judged(
  name: string,
  expected: Decision,
  ask: () => Promise<Verdict>,
  picture: Case['picture'] = null,
): Promise<Case> {
  const started = performance.now()
  const outcome = await ask().then(
    (verdict) => ({ verdict, error: null }),
    (error: unknown) => ({ verdict: null, error: error instanceof Error ? error.message : String(error) }),
  )
  const elapsedMs = performance.now() - started
  return { name, expected, ...outcome, right: isRight(expected, outcome.verdict?.decision), elapsedMs, picture }
}

export function rowOf({ name, cases }: CaseSet): Row {
  const right = cases.filter((one) => one.right).length
  const times = cases.map(({ elapsedMs }) => elapsedMs).sort((a, b) => a - b)
  return {
    set: name,
    expected: [...new Set(cases.map(({ expected }) => expected))],
    count: cases.length,
    right,
    rate: cases.length === 0 ? 0 : right / cases.length,
    interval: wilsonInterval(right, cases.length),
    medianMs: times[Math.floor(times.length / 2)] ?? 0,
    slowestMs: times.at(-1) ?? 0,
  }
}

/** The wrong ones, then those that were nearest to being wrong, at most `count`. */
export function worstCases(sets: readonly CaseSet[], count: number): Case[] {
  return sets
    .flatMap(({ cases }) => cases)
    .sort((a, b) => Number(a.right) - Number(b.right) || marginOf(a) - marginOf(b))
    .slice(0, count)
}

/** How far the nearest finding is from its threshold, on the side where it is: small is close. */
function marginOf({ verdict }: Case): number {
  const margins = (verdict?.findings ?? []).map(({ score, threshold }: Finding) => Math.abs(score - threshold))
  return Math.min(1, ...margins)
}
