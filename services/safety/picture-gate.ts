import type { RgbImage } from '../lib/images/image.ts'
import type { Concept, Eyes, PersonBox } from './eyes/eyes.ts'
import type { Observation } from './observation.ts'
import type { SafetyPolicy } from './policy/policy.ts'
import type { Region } from './safety.ts'

/**
 * Whether a drawn picture may be shown: no person as its central thing — by size, or smaller in the picture's centre —,
 * none by the zero-shot judgement of all of it, and no concept of the safety checker. People small at the side may be.
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
    return [observe(people[0]?.score ?? 0, people[0]?.region ?? null, 'no person was seen', false)]
  return counted.map(({ score, region }) => {
    const central = isCentral(region, policy)
    const reason = central
      ? 'a person is the central thing of the picture'
      : 'a person is small at the side of the picture'
    return observe(score, region, reason, central)
  })
}

function isCentral({ left, top, width, height }: Region, policy: SafetyPolicy['picture']['personDetector']): boolean {
  const area = width * height
  const holdsCentre = left <= 0.5 && left + width >= 0.5 && top <= 0.5 && top + height >= 0.5
  return area >= policy.area || (holdsCentre && area >= policy.centralArea)
}
