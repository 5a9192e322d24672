import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import type { Eyes, PersonBox, PersonDetector, ZeroShotShares } from './eyes/eyes.ts'
import { cropped, croppedMask, maskedCrop, squareAround } from './masked-crop.ts'
import type { Observation } from './observation.ts'
import type { SafetyPolicy } from './policy/policy.ts'
import type { Region } from './safety.ts'
import { SubjectArea } from './subject-area.ts'

/** How a person in the photo is to its subject. */
type Relation = 'the subject' | 'one of the subject' | 'maybe the subject' | 'the whole photo' | 'beside the subject'

interface Sight extends PersonBox {
  readonly relation: Relation
  /** Whether the photo is one of this person, even if the subject is what the person wears. */
  readonly fillsPhoto: boolean
}

interface Photo {
  readonly reference: RgbImage
  readonly mask: GreyImage
}

const wholePhoto: Region = { left: 0, top: 0, width: 1, height: 1 }

/** More of the surest people than these are not looked at as one group. */
const largestGroup = 16

/**
 * Whether the photo's subject is a person. A person's box that holds the subject and is filled by it is the subject; one
 * that it fills less is a close call (who wears the hat?), which the zero-shot judgement of the masked crop decides, and
 * which counts where there is none. Several who are filled by the subject and hold it together are the subject together.
 * The detector looks twice, at the photo and at the square around the subject, and the mean of both scores counts. A person
 * who fills the photo counts wherever the mask is. A zero-shot judgement that is sure of a person decides alone; one that
 * is sure of a statue, doll or robot outvotes the detector.
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
  const others = looks[0]!.flatMap((sight): Sight[] => {
    if (sight.fillsPhoto) return [{ ...sight, relation: 'the whole photo' }]
    return isSubject(sight) ? [] : [sight]
  })
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
      reason: 'no person was seen surely enough',
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
    const related = relate(people, new SubjectArea(area), part === wholePhoto, policy)
    looks.push(related.map((sight) => ({ ...sight, region: regionWithin(part, sight.region) })))
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
  'one of the subject': 'a person is in the subject of the photo',
  'maybe the subject': 'the subject is part of a person in the photo',
  'the whole photo': 'a person fills the photo',
  'beside the subject': 'a person is in the photo, not as its subject',
}

/** How everybody is to the subject, the surest first; a group that is the subject together comes as one more. */
function relate(
  people: readonly PersonBox[],
  subject: SubjectArea,
  inPhoto: boolean,
  { personDetector: policy }: SafetyPolicy['subject'],
): Sight[] {
  const seen = people.map((person) => ({ ...person, ...subject.overlap(person.region) }))
  const sights = seen.map(({ score, region, coverage, filling }): Sight => {
    const relation = relationOf(coverage, filling, policy)
    const large = inPhoto && region.width * region.height >= policy.wholePicture
    return { score, region, relation, fillsPhoto: large && relation !== 'the subject' }
  })
  const members = seen.flatMap(({ filling }, at) =>
    filling >= policy.filling && sights[at]!.relation === 'beside the subject' ? [at] : [],
  )
  const group = members.slice(0, largestGroup)
  const enough = subject
    .coverageInOrder(group.map((at) => sights[at]!.region))
    .findIndex((coverage) => coverage >= policy.coverage)
  if (enough < 0) return sights
  const regions: Region[] = []
  for (const at of group.slice(0, enough + 1)) {
    regions.push(sights[at]!.region)
    sights[at] = { ...sights[at]!, relation: 'one of the subject' }
  }
  const { score } = sights[group[enough]!]!
  const together: Sight = { score, region: around(regions), relation: 'the subject', fillsPhoto: false }
  return [...sights, together].sort((a, b) => b.score - a.score)
}

function around(regions: readonly Region[]): Region {
  const left = Math.min(...regions.map((region) => region.left))
  const top = Math.min(...regions.map((region) => region.top))
  const right = Math.max(...regions.map((region) => region.left + region.width))
  const bottom = Math.max(...regions.map((region) => region.top + region.height))
  return { left, top, width: right - left, height: bottom - top }
}

function relationOf(coverage: number, filling: number, policy: SafetyPolicy['subject']['personDetector']): Relation {
  if (coverage < policy.coverage || filling < policy.closeFilling) return 'beside the subject'
  return filling >= policy.filling ? 'the subject' : 'maybe the subject'
}

function isRefused(
  relation: Relation,
  shares: ZeroShotShares | undefined,
  { zeroShot }: SafetyPolicy['subject'],
): boolean {
  switch (relation) {
    case 'beside the subject':
    case 'one of the subject': // whose group decides
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
