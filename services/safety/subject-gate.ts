import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import type { Eyes, PersonBox, ZeroShotShares } from './eyes/eyes.ts'
import { maskedCrop, overlapOf } from './masked-crop.ts'
import type { Observation } from './observation.ts'
import type { SafetyPolicy } from './policy/policy.ts'
import type { Region } from './safety.ts'

/** How a person in the photo is to its subject. */
type Relation = 'the subject' | 'maybe the subject' | 'the whole photo' | 'beside the subject'

/**
 * Whether the photo's subject is a person. A person's box that holds the subject and is filled by it is the subject; one
 * that it fills less is a close call (who wears the hat?), which the zero-shot judgement of the masked crop decides, and
 * which counts where there is none. A person who fills the photo counts wherever the mask is. A zero-shot judgement that
 * is sure of a person decides alone; one that is sure of a statue, doll or robot outvotes the detector.
 */
export async function reviewPhoto(
  photo: { readonly reference: RgbImage; readonly mask: GreyImage },
  { personDetector, zeroShot }: Eyes,
  policy: SafetyPolicy['subject'],
  signal?: AbortSignal,
): Promise<Observation[]> {
  const people = (await personDetector?.detect(photo.reference, 0, signal)) ?? []
  const shares = await zeroShot?.judge(maskedCrop(photo.reference, photo.mask), signal)
  const observations: Observation[] = []
  if (shares) observations.push(zeroShotObservation(shares, policy.zeroShot.person))
  const threshold = policy.personDetector.score
  const counted = people.filter(({ score }) => score >= threshold)
  for (const { score, region } of counted) {
    const relation = relationOf(region, photo.mask, policy)
    observations.push({
      ...person(score, threshold, region),
      reason: reasons[relation],
      decides: isRefused(relation, shares, policy) ? 'REJECTED_PERSON' : null,
    })
  }
  if (personDetector && counted.length === 0) observations.push(nobody(people[0], threshold))
  return observations

  function nobody(nearest: PersonBox | undefined, atLeast: number): Observation {
    return {
      ...person(nearest?.score ?? 0, atLeast, nearest?.region ?? null),
      reason: 'no person was seen',
      decides: null,
    }
  }
}

const reasons: Readonly<Record<Relation, string>> = {
  'the subject': 'a person is the subject of the photo',
  'maybe the subject': 'the subject is part of a person in the photo',
  'the whole photo': 'a person fills the photo',
  'beside the subject': 'a person is in the photo, not as its subject',
}

function relationOf(region: Region, mask: GreyImage, { personDetector }: SafetyPolicy['subject']): Relation {
  const { coverage, filling } = overlapOf(region, mask)
  if (coverage >= personDetector.coverage) {
    if (filling >= personDetector.filling) return 'the subject'
    if (filling >= personDetector.closeFilling) return 'maybe the subject'
  }
  return region.width * region.height >= personDetector.wholePicture ? 'the whole photo' : 'beside the subject'
}

function isRefused(
  relation: Relation,
  shares: ZeroShotShares | undefined,
  { zeroShot }: SafetyPolicy['subject'],
): boolean {
  switch (relation) {
    case 'beside the subject':
      return false
    case 'the whole photo':
      // The crop shows the subject, not who fills the photo.
      return true
    case 'the subject':
      return !shares || shares.person >= zeroShot.closePerson || shares.lookAlike < zeroShot.lookAlike
    case 'maybe the subject':
      return !shares || shares.person >= zeroShot.closePerson
  }
}

function person(score: number, threshold: number, region: Region | null) {
  return { stage: 'SUBJECT', detector: 'person-detector', score, threshold, region } as const
}

function zeroShotObservation({ person: score }: ZeroShotShares, threshold: number): Observation {
  const counts = score >= threshold
  return {
    stage: 'SUBJECT',
    detector: 'zero-shot',
    reason: counts ? 'the subject looks like a person' : 'the subject looks like a thing or an animal',
    score,
    threshold,
    region: null,
    decides: counts ? 'REJECTED_PERSON' : null,
  }
}
