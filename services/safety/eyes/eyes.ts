import type { RgbImage } from '../../lib/images/image.ts'
import type { Region } from '../safety.ts'

/** Somebody that a detector saw. */
export interface PersonBox {
  readonly region: Region
  /** 0 … 1 */
  readonly score: number
}

export interface PersonDetector {
  /** Everybody with a score of at least `minScore`, the surest first. */
  detect(picture: RgbImage, minScore: number, signal?: AbortSignal): Promise<readonly PersonBox[]>
}

/** Probabilities that together with those of things are one. */
export interface ZeroShotShares {
  readonly person: number
  /** A statue, a doll, a robot … */
  readonly lookAlike: number
}

export interface ZeroShot {
  /** Whether it can judge whole pictures too; if not, only a subject that is cut out on white. */
  readonly judgesPictures: boolean
  judge(picture: RgbImage, signal?: AbortSignal): Promise<ZeroShotShares>
}

/** One of the concepts that a checker was made for. */
export interface Concept {
  readonly index: number
  /** Cosine of picture and concept, −1 … 1. */
  readonly cosine: number
  /** From where on it counts. */
  readonly threshold: number
  readonly counts: boolean
}

export interface SafetyChecker {
  /** All concepts, by how far they are above their thresholds. */
  check(picture: RgbImage, signal?: AbortSignal): Promise<readonly Concept[]>
}

/** What a bundle has to see with. All of them throw where they can't judge, a network's NaN included. */
export interface Eyes {
  readonly personDetector?: PersonDetector | undefined
  readonly zeroShot?: ZeroShot | undefined
  readonly safetyChecker?: SafetyChecker | undefined
}

/** What may be named in MOMA_SAFETY_REQUIRE; words are always judged. */
export const judges = ['words', 'person-detector', 'zero-shot', 'safety-checker'] as const
export type JudgeName = (typeof judges)[number]

/** Who judges with these eyes, in a fixed order. */
export function judgesOf({ personDetector, zeroShot, safetyChecker }: Eyes): JudgeName[] {
  return [
    'words',
    ...(personDetector ? (['person-detector'] as const) : []),
    ...(zeroShot ? (['zero-shot'] as const) : []),
    ...(safetyChecker ? (['safety-checker'] as const) : []),
  ]
}
