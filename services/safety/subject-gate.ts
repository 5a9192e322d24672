import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import type { Eyes, PersonBox, PersonDetector, ZeroShotShares } from './eyes/eyes.ts'
import { cropped, croppedMask, maskedCrop, overlapOf, squareAround } from './masked-crop.ts'
import type { Observation } from './observation.ts'
import type { SafetyPolicy } from './policy/policy.ts'
import type { Region } from './safety.ts'

/** How a person in the photo is to its subject. */
type Relation = 'the subject' | 'maybe the subject' | 'the whole photo' | 'beside the subject'

interface Sight extends PersonBox {
  readonly relation: Relation
}

interface Photo {
  readonly reference: RgbImage
  readonly mask: GreyImage
}

const wholePhoto: Region = { left: 0, top: 0, width: 1, height: 1 }

/**
 * Whether the photo's subject is a person. A person's box that holds the subject and is filled by it is the subject; one
 * that it fills less is a close call (who wears the hat?), which the zero-shot judgement of the masked crop decides, and
 * which counts where there is none. The detector looks twice, at the photo and at the square around the subject, and the
 * mean of both scores counts. A person who fills the photo counts wherever the mask is. A zero-shot judgement that is sure
 * of a person decides alone; one that is sure of a statue, doll or robot outvotes the detector.
 */
export async function reviewPhoto(
  photo: Photo,
  { personDetector, zeroShot }: Eyes,
  policy: SafetyPolicy['subject'],
  signal?: AbortSignal,
): Promise<Observation[]> {
  const looks = personDetector ? await lookTwice(photo, personDetector, policy, signal) : []
  const shares = await zeroShot?.judge(maskedCrop(photo.reference, photo.mask), signal)
  const observations: Observation[] = []
  if (shares) observations.push(zeroShotObservation(shares, policy.zeroShot.person))
  if (!personDetector) return observations
  const threshold = policy.personDetector.score
  const subject = subjectOf(looks)
  const others = looks[0]!.filter((sight) => !isSubject(sight))
  const people = [...(subject ? [subject] : []), ...others].sort((a, b) => b.score - a.score)
  const counted = people.filter(({ score }) => score >= threshold)
  for (const { score, region, relation } of counted) {
    observations.push({
      ...person(score, threshold, region),
      reason: reasons[relation],
      decides: isRefused(relation, shares, policy) ? 'REJECTED_PERSON' : null,
    })
  }
  if (counted.length === 0) observations.push(nobody(people[0], threshold))
  return observations

  function nobody(nearest: PersonBox | undefined, atLeast: number): Observation {
    return {
      ...person(nearest?.score ?? 0, atLeast, nearest?.region ?? null),
      reason: 'no person was seen',
      decides: null,
    }
  }
}

/** Everybody in the photo, and everybody in the square around its subject where that is less than the photo. */
async function lookTwice(
  { reference, mask }: Photo,
  detector: PersonDetector,
  policy: SafetyPolicy['subject'],
  signal?: AbortSignal,
): Promise<Sight[][]> {
  const square = squareAround(mask, policy.personDetector.crop)
  const looks: Sight[][] = []
  for (const part of square ? [wholePhoto, square] : [wholePhoto]) {
    const [picture, area] =
      part === wholePhoto ? [reference, mask] : [cropped(reference, part), croppedMask(mask, part)]
    const people = await detector.detect(picture, 0, signal)
    looks.push(
      people.map(({ score, region }) => ({
        score,
        region: regionWithin(part, region),
        relation: relationOf(region, area, policy),
      })),
    )
  }
  return looks
}

/** Whoever is the subject or may be, of each look the surest, with the mean of their scores; 0 where a look shows none. */
function subjectOf(looks: readonly (readonly Sight[])[]): Sight | null {
  const found = looks.flatMap((people) => people.filter(isSubject).slice(0, 1))
  if (found.length === 0) return null
  const surest = found.reduce((a, b) => (b.score > a.score ? b : a))
  return { ...surest, score: found.reduce((sum, { score }) => sum + score, 0) / looks.length }
}

function isSubject({ relation }: Sight): boolean {
  return relation === 'the subject' || relation === 'maybe the subject'
}

/** A region of a part of the photo, as one of the photo. */
function regionWithin(part: Region, { left, top, width, height }: Region): Region {
  return {
    left: part.left + left * part.width,
    top: part.top + top * part.height,
    width: width * part.width,
    height: height * part.height,
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
