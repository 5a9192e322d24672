import type { RgbImage } from '../lib/images/image.ts'
import type { Concept, Eyes, PersonBox } from './eyes/eyes.ts'
import type { Observation } from './observation.ts'
import type { SafetyPolicy } from './policy/policy.ts'
import type { Region } from './safety.ts'
import { coveredInOrder } from './union.ts'

/**
 * Whether a drawn picture may be shown: no person as its central thing — by size, or smaller in the picture's centre —,
 * no people who are so together, none by the zero-shot judgement of all of it, and no concept of the safety checker.
 * People small at the side may be.
 */
export async function reviewDrawn(
  picture: RgbImage,
  { personDetector, zeroShot, safetyChecker }: Eyes,
  policy: SafetyPolicy['picture'],
  signal?: AbortSignal,
): Promise<Observation[]> {
  const observations: Observation[] = []
  if (safetyChecker) {
    const concepts = await safetyChecker.check(picture, signal)
    observations.push(contentObservation(concepts))
  }
  if (personDetector) {
    const people = await personDetector.detect(picture, 0, signal)
    observations.push(...personObservations(people, policy.personDetector))
  }
  if (zeroShot?.judgesPictures) {
    const { person } = await zeroShot.judge(picture, signal)
    const threshold = policy.zeroShot.person
    const counts = person >= threshold
    observations.push({
      stage: 'PICTURE',
      detector: 'zero-shot',
      reason: counts ? 'the picture looks like one of a person' : 'the picture looks like one of a thing or an animal',
      score: person,
      threshold,
      region: null,
      decides: counts ? 'REJECTED_PERSON' : null,
    })
  }
  return observations
}

function contentObservation(concepts: readonly Concept[]): Observation {
  const counting = concepts.find(({ counts }) => counts)
  const { cosine, threshold } = counting ?? concepts[0] ?? { cosine: 0, threshold: 1 }
  const inRange = (value: number) => Math.min(1, Math.max(0, value))
  return {
    stage: 'PICTURE',
    detector: 'safety-checker',
    reason: counting ? 'the picture may show content that is not allowed' : 'no concept of the safety checker was seen',
    score: inRange(cosine),
    threshold: inRange(threshold),
    region: null,
    decides: counting ? 'REJECTED_CONTENT' : null,
  }
}

function personObservations(
  people: readonly PersonBox[],
  policy: SafetyPolicy['picture']['personDetector'],
): Observation[] {
  const observe = (score: number, region: Region | null, reason: string, counts: boolean): Observation => ({
    stage: 'PICTURE',
    detector: 'person-detector',
    reason,
    score,
    threshold: policy.score,
    region,
    decides: counts ? 'REJECTED_PERSON' : null,
  })
  const counted = people.filter(({ score }) => score >= policy.score)
  if (counted.length === 0)
    return [observe(people[0]?.score ?? 0, people[0]?.region ?? null, 'no person was seen surely enough', false)]
  const central = counted.map(({ region }) => isCentral(region, policy))
  const together = !central.includes(true) && areaOf(counted) >= policy.area
  return counted.map(({ score, region }, at) => {
    if (together) return observe(score, region, 'people are the central thing of the picture', true)
    return central[at]
      ? observe(score, region, 'a person is the central thing of the picture', true)
      : observe(score, region, 'a person is small at the side of the picture', false)
  })
}

function isCentral({ left, top, width, height }: Region, policy: SafetyPolicy['picture']['personDetector']): boolean {
  const area = width * height
  const holdsCentre = left <= 0.5 && left + width >= 0.5 && top <= 0.5 && top + height >= 0.5
  return area >= policy.area || (holdsCentre && area >= policy.centralArea)
}

/** Share of the picture that they take together. */
function areaOf(people: readonly PersonBox[]): number {
  const boxes = people.map(({ region: { left, top, width, height } }) => {
    return { left, top, right: left + width, bottom: top + height }
  })
  const covered = coveredInOrder(boxes, ({ left, top, right, bottom }) => (right - left) * (bottom - top))
  return covered.at(-1) ?? 0
}
