import { whiteBackground } from '../lib/images/geometry.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import type { Concept, Eyes, PersonBox, ZeroShotShares } from './eyes/eyes.ts'
import { createJudge } from './judge.ts'
import { maskedCrop } from './masked-crop.ts'
import { readPolicy } from './policy/policy.ts'
import type { Region } from './safety.ts'

const policy = readPolicy()
const sidePx = 100
const picture: RgbImage = {
  widthPx: sidePx,
  heightPx: sidePx,
  pixels: new Uint8Array(sidePx * sidePx * 3).fill(90),
  alpha: null,
}

/** 255 inside the region. */
function maskOf({ left, top, width, height }: Region): GreyImage {
  const pixels = new Uint8Array(sidePx * sidePx)
  for (let y = 0; y < sidePx; y++) {
    for (let x = 0; x < sidePx; x++) {
      const [right, bottom] = [Math.round((left + width) * sidePx), Math.round((top + height) * sidePx)]
      if (x >= left * sidePx && x < right && y >= top * sidePx && y < bottom) pixels[y * sidePx + x] = 255
    }
  }
  return { widthPx: sidePx, heightPx: sidePx, pixels }
}

const box = (left: number, top: number, width: number, height: number): Region => ({ left, top, width, height })
const sees = (...people: PersonBox[]): Eyes => ({ personDetector: { detect: async () => people } })
const feels = (person: number, lookAlike = 0): Eyes => ({ zeroShot: { judge: async () => ({ person, lookAlike }) } })

const person = box(0.2, 0.1, 0.4, 0.8)
const subjectOf = (mask: Region, label = 'thing') => ({ reference: picture, mask: maskOf(mask), label })

describe('a photo', () => {
  const decide = async (eyes: Eyes, mask: Region) =>
    (await createJudge(policy, eyes).reviewSubject(subjectOf(mask))).decision

  test('with a person under the mask is refused', async () => {
    expect(await decide(sees({ region: person, score: 0.9 }), person)).toBe('REJECTED_PERSON')
  })

  test('with a person beside the subject is not, however sure the detector is', async () => {
    expect(await decide(sees({ region: box(0, 0, 0.3, 0.9), score: 0.99 }), box(0.5, 0.5, 0.4, 0.4))).toBe('ALLOWED')
  })

  test('with a person below the threshold is not', async () => {
    expect(await decide(sees({ region: person, score: 0.49 }), person)).toBe('ALLOWED')
  })

  test('that a person fills is refused although the mask leaves the person out', async () => {
    const filling = { region: box(0.1, 0, 0.7, 1), score: 0.8 }
    expect(await decide(sees(filling), box(0.85, 0.85, 0.1, 0.1))).toBe('REJECTED_PERSON')
    expect(await decide({ ...sees(filling), ...feels(0) }, box(0.85, 0.85, 0.1, 0.1))).toBe('REJECTED_PERSON')
  })

  test('of several people with one of them as the subject is refused', async () => {
    const crowd = [box(0, 0, 0.2, 0.5), box(0.7, 0, 0.2, 0.5), person].map((region) => ({ region, score: 0.7 }))
    expect(await decide(sees(...crowd), person)).toBe('REJECTED_PERSON')
  })

  describe('of what a person wears', () => {
    const shirt = box(0.25, 0.3, 0.3, 0.3)
    const wearer = sees({ region: person, score: 0.95 })

    test('is refused where nothing else can tell', async () => {
      expect(await decide(wearer, shirt)).toBe('REJECTED_PERSON')
    })
    test('is a thing where the crop does not look like a person', async () => {
      expect(await decide({ ...wearer, ...feels(0.05) }, shirt)).toBe('ALLOWED')
    })
    test('is refused where the crop may be one', async () => {
      expect(await decide({ ...wearer, ...feels(0.4) }, shirt)).toBe('REJECTED_PERSON')
    })
    test('small on the person, is a thing', async () => {
      expect(await decide(wearer, box(0.3, 0.1, 0.15, 0.1))).toBe('ALLOWED')
    })
  })

  describe('of a statue that the detector takes for a person', () => {
    const statue = sees({ region: person, score: 0.9 })
    test('is refused where nothing else can tell', async () => {
      expect(await decide(statue, person)).toBe('REJECTED_PERSON')
    })
    test('is a thing where the crop is surely a likeness', async () => {
      expect(await decide({ ...statue, ...feels(0.1, 0.85) }, person)).toBe('ALLOWED')
    })
    test('is refused where that is not sure', async () => {
      expect(await decide({ ...statue, ...feels(0.1, 0.6) }, person)).toBe('REJECTED_PERSON')
      expect(await decide({ ...statue, ...feels(0.35, 0.65) }, person)).toBe('REJECTED_PERSON')
    })
    test('is not excused by its label', async () => {
      const { decision } = await createJudge(policy, statue).reviewSubject(subjectOf(person, 'bronze statue'))
      expect(decision).toBe('REJECTED_PERSON')
    })
  })

  test('that looks like a person is refused although no detector saw one', async () => {
    expect(await decide({ ...sees(), ...feels(0.9) }, person)).toBe('REJECTED_PERSON')
  })

  test('whose label names a person is refused before anything is looked at', async () => {
    let looks = 0
    const detect = async () => {
      looks++
      return []
    }
    const eyes: Eyes = { personDetector: { detect } }
    const { decision } = await createJudge(policy, eyes).reviewSubject(subjectOf(person, 'woman'))
    expect(decision).toBe('REJECTED_PERSON')
    expect(looks).toBe(0)
  })

  test('has a verdict with all that was seen, and who looked', async () => {
    const eyes = { ...sees({ region: person, score: 0.9 }), ...feels(0.6, 0.1) }
    expect(await createJudge(policy, eyes).reviewSubject(subjectOf(person))).toEqual({
      decision: 'REJECTED_PERSON',
      policyVersion: 'moma-1/words+person-detector+zero-shot',
      findings: [
        {
          stage: 'SUBJECT',
          detector: 'person-detector',
          reason: 'a person is the subject of the photo',
          score: 0.9,
          threshold: 0.5,
          region: person,
        },
        {
          stage: 'SUBJECT',
          detector: 'zero-shot',
          reason: 'the subject looks like a thing or an animal',
          score: 0.6,
          threshold: 0.8,
          region: null,
        },
      ],
    })
  })
})

describe('a drawn picture', () => {
  const decide = async (eyes: Eyes) =>
    (await createJudge(policy, eyes).reviewPicture({ picture, label: 'dog' })).decision
  const concept = (counts: boolean): Concept => ({ index: 4, cosine: 0.21, threshold: 0.2, counts })

  test.each([
    ['large at the side', box(0, 0, 0.4, 0.5), 'REJECTED_PERSON'],
    ['small in the centre', box(0.4, 0.35, 0.25, 0.3), 'REJECTED_PERSON'],
    ['small at the side', box(0, 0.4, 0.15, 0.4), 'ALLOWED'],
    ['tiny in the centre', box(0.45, 0.45, 0.1, 0.1), 'ALLOWED'],
  ])('with a person %s', async (_, region, decision) => {
    expect(await decide(sees({ region, score: 0.9 }))).toBe(decision)
  })

  test('that looks like a person as a whole is refused', async () => {
    expect(await decide(feels(0.85))).toBe('REJECTED_PERSON')
  })

  test("that shows one of the checker's concepts is refused for its content, whoever is in it", async () => {
    const checker: Eyes = { safetyChecker: { check: async () => [concept(true)] } }
    expect(await decide({ ...checker, ...sees({ region: person, score: 0.9 }) })).toBe('REJECTED_CONTENT')
    expect(await decide({ safetyChecker: { check: async () => [concept(false)] } })).toBe('ALLOWED')
  })

  test('that nothing looked at says so by its version', async () => {
    const { policyVersion } = await createJudge(policy).reviewPicture({ picture, label: 'dog' })
    expect(policyVersion).toBe('moma-1/words')
  })
})

test.each([
  ['detector', { personDetector: { detect: async () => Promise.reject(new Error('broke')) } }],
  [
    'zero-shot judgement',
    { zeroShot: { judge: async (): Promise<ZeroShotShares> => Promise.reject(new Error('broke')) } },
  ],
  ['checker', { safetyChecker: { check: async () => Promise.reject(new Error('broke')) } }],
] satisfies [string, Eyes][])('a %s that breaks leaves no verdict, whatever the others saw', async (_, broken) => {
  const judge = createJudge(policy, { ...sees(), ...feels(0), ...broken })
  await expect(judge.reviewPicture({ picture, label: 'dog' })).rejects.toThrow('broke')
})

describe('what the zero-shot judgement is shown', () => {
  test('is the subject on white, cut to where it is', () => {
    const crop = maskedCrop(picture, maskOf(box(0.2, 0.1, 0.4, 0.8)))
    expect(crop).toMatchObject({ widthPx: 40, heightPx: 80 })
    expect(crop.pixels.every((level) => level === 90)).toBe(true)
    const ring = maskOf(box(0, 0, 1, 1))
    ring.pixels[50 * sidePx + 50] = 0
    expect(maskedCrop(picture, ring).pixels).toEqual(whiteBackground(picture, ring).pixels)
  })

  test('is a single pixel where that is the subject, and all of the picture where there is none', () => {
    const one = { ...maskOf(box(0, 0, 0, 0)) }
    one.pixels[0] = 255
    expect(maskedCrop(picture, one)).toMatchObject({ widthPx: 1, heightPx: 1 })
    expect(maskedCrop(picture, maskOf(box(0, 0, 0, 0)))).toBe(picture)
  })
})
