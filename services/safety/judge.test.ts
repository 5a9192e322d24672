import { whiteBackground } from '../lib/images/geometry.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import type { Concept, Eyes, PersonBox, ZeroShotShares } from './eyes/eyes.ts'
import { createJudge } from './judge.ts'
import { cropped, croppedMask, maskedCrop, squareAround } from './masked-crop.ts'
import { readPolicy } from './policy/policy.ts'
import type { Region } from './safety.ts'

const policy = readPolicy()
const sidePx = 100

/** Red tells the column and green the row, so that a piece of it says where it is from. */
const picture: RgbImage = {
  widthPx: sidePx,
  heightPx: sidePx,
  pixels: Uint8Array.from({ length: sidePx * sidePx * 3 }, (_, i) => {
    const at = Math.floor(i / 3)
    return [at % sidePx, Math.floor(at / sidePx), 90][i % 3]!
  }),
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

/** In a piece of the picture the people are where they are in the picture. */
const sees = (...people: PersonBox[]): Eyes => ({
  personDetector: {
    detect: async (shown) => people.map(({ score, region }) => ({ score, region: regionIn(shown, region) })),
  },
})

function regionIn({ widthPx, heightPx, pixels }: RgbImage, { left, top, width, height }: Region): Region {
  const inside = (at: number, start: number, lengthPx: number) =>
    Math.min(1, Math.max(0, (at * sidePx - start) / lengthPx))
  const [x, y] = [inside(left, pixels[0]!, widthPx), inside(top, pixels[1]!, heightPx)]
  const [right, bottom] = [left + width, top + height]
  return box(x, y, inside(right, pixels[0]!, widthPx) - x, inside(bottom, pixels[1]!, heightPx) - y)
}

/** Scores of the same person in the whole picture and in what is cut out of it. */
const seesTwice = (whole: number, cut: number): Eyes => ({
  personDetector: {
    detect: async (shown) => [{ score: shown === picture ? whole : cut, region: regionIn(shown, person) }],
  },
})
const feels = (person: number, lookAlike = 0): Eyes => ({
  zeroShot: { judgesPictures: true, judge: async () => ({ person, lookAlike }) },
})

/** The region but for rounding. */
const near = (region: Region) =>
  Object.fromEntries(Object.entries(region).map(([side, share]) => [side, expect.closeTo(share)]))

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

  test.each([
    [0.9, 0.05, 'ALLOWED', 0.475],
    [0.35, 0.8, 'REJECTED_PERSON', 0.575],
  ])(
    'with a person of %d in the photo and of %d in the square around the subject',
    async (whole, cut, decision, score) => {
      const verdict = await createJudge(policy, seesTwice(whole, cut)).reviewSubject(subjectOf(person))
      expect(verdict).toMatchObject({ decision, findings: [{ detector: 'person-detector', threshold: 0.5 }] })
      expect(verdict.findings[0]!.score).toBeCloseTo(score)
      expect(verdict.findings[0]!.region).toEqual(near(person))
    },
  )

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

  describe('of several people who are its subject together', () => {
    const four = [0, 0.25, 0.5, 0.75].map((left) => box(left, 0.2, 0.2, 0.6))
    const group = maskOf(four[0]!)
    for (const { pixels } of four.map(maskOf)) group.pixels.set(pixels.map((level, i) => level | group.pixels[i]!))
    const decideOn = async (mask: GreyImage, scores: number[]) => {
      const people = four.slice(0, scores.length).map((region, i) => ({ region, score: scores[i]! }))
      return createJudge(policy, sees(...people)).reviewSubject({ reference: picture, mask, label: 'lamp' })
    }

    test('is refused, with the score of the last of them whom it takes', async () => {
      const { decision, findings } = await decideOn(group, [0.9, 0.8, 0.7, 0.6])
      expect(decision).toBe('REJECTED_PERSON')
      expect(findings[0]).toMatchObject({ reason: 'a person is the subject of the photo', score: 0.8 })
      expect(findings[0]!.region).toEqual(near(box(0, 0.2, 0.45, 0.6)))
      expect(findings.map(({ reason }) => reason).slice(1)).toEqual([
        'a person is in the subject of the photo',
        'a person is in the subject of the photo',
        'a person is in the photo, not as its subject',
        'a person is in the photo, not as its subject',
      ])
    })
    test('is not where too few of them are seen surely', async () => {
      expect(await decideOn(group, [0.9, 0.4, 0.3, 0.2])).toMatchObject({ decision: 'ALLOWED' })
    })
    test('is not where they stand before a thing that is larger by far', async () => {
      expect(await decideOn(maskOf(box(0, 0, 1, 1)), [0.9, 0.9])).toMatchObject({ decision: 'ALLOWED' })
    })
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
    test('is refused where the person fills the photo', async () => {
      const selfie = sees({ region: box(0.1, 0, 0.8, 1), score: 0.95 })
      expect(await decide({ ...selfie, ...feels(0.1) }, box(0.2, 0.5, 0.5, 0.5))).toBe('REJECTED_PERSON')
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
      policyVersion: 'moma-4/words+person-detector+zero-shot',
      findings: [
        {
          stage: 'SUBJECT',
          detector: 'person-detector',
          reason: 'a person is the subject of the photo',
          score: 0.9,
          threshold: 0.5,
          region: near(person),
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

  test('with small people at the sides who are a large part of it together is refused', async () => {
    const row = [0, 0.75].flatMap((left) => [0, 0.55].map((top) => ({ region: box(left, top, 0.2, 0.4), score: 0.9 })))
    expect(await decide(sees(row[0]!))).toBe('ALLOWED')
    expect(await decide(sees(...row))).toBe('REJECTED_PERSON')
    expect(await decide(sees(row[0]!, row[0]!, row[0]!))).toBe('ALLOWED')
  })

  test('that looks like a person as a whole is refused', async () => {
    expect(await decide(feels(0.85))).toBe('REJECTED_PERSON')
  })

  test('is not judged by eyes that have only ever seen cut-outs', async () => {
    const { zeroShot } = feels(0.85)
    expect(await decide({ zeroShot: { ...zeroShot!, judgesPictures: false } })).toBe('ALLOWED')
  })

  test("that shows one of the checker's concepts is refused for its content, whoever is in it", async () => {
    const checker: Eyes = { safetyChecker: { check: async () => [concept(true)] } }
    expect(await decide({ ...checker, ...sees({ region: person, score: 0.9 }) })).toBe('REJECTED_CONTENT')
    expect(await decide({ safetyChecker: { check: async () => [concept(false)] } })).toBe('ALLOWED')
  })

  test('that nothing looked at says so by its version', async () => {
    const { policyVersion } = await createJudge(policy).reviewPicture({ picture, label: 'dog' })
    expect(policyVersion).toBe('moma-4/words')
  })
})

test.each([
  ['detector', { personDetector: { detect: async () => Promise.reject(new Error('broke')) } }],
  [
    'zero-shot judgement',
    {
      zeroShot: {
        judgesPictures: true,
        judge: async (): Promise<ZeroShotShares> => Promise.reject(new Error('broke')),
      },
    },
  ],
  ['checker', { safetyChecker: { check: async () => Promise.reject(new Error('broke')) } }],
] satisfies [string, Eyes][])('a %s that breaks leaves no verdict, whatever the others saw', async (_, broken) => {
  const judge = createJudge(policy, { ...sees(), ...feels(0), ...broken })
  await expect(judge.reviewPicture({ picture, label: 'dog' })).rejects.toThrow('broke')
})

describe('the square around the subject', () => {
  const around = (region: Region, margin: number, least: number) => squareAround(maskOf(region), { margin, least })

  test.each([
    ['is as large as its longer side', box(0.3, 0.2, 0.2, 0.4), 0, 0, box(0.2, 0.2, 0.4, 0.4)],
    ['leaves room', box(0.3, 0.3, 0.4, 0.2), 0.25, 0, box(0.2, 0.1, 0.6, 0.6)],
    ['is no smaller than asked for', box(0.5, 0.5, 0.02, 0.02), 0, 0.2, box(0.41, 0.41, 0.2, 0.2)],
    ['is moved into the picture', box(0.9, 0, 0.1, 0.4), 0.25, 0, box(0.4, 0, 0.6, 0.6)],
  ])('%s', (_, subject, margin, least, square) => {
    const found = around(subject, margin, least)
    expect(found).toEqual(near(square))
    expect(cropped(picture, found!)).toMatchObject({ widthPx: Math.round(square.width * sidePx) })
  })

  test('is cut to the picture where that is narrower', () => {
    const mask = { widthPx: 40, heightPx: 100, pixels: new Uint8Array(4000).fill(255, 0, 40 * 60) }
    const square = squareAround(mask, { margin: 0, least: 0.2 })!
    expect(square).toEqual(box(0, 0, 1, 0.6))
    expect(croppedMask(mask, square)).toEqual({ widthPx: 40, heightPx: 60, pixels: new Uint8Array(2400).fill(255) })
  })

  test('is none where there is no subject, or nothing around it', () => {
    expect(around(box(0, 0, 0, 0), 0, 0.2)).toBeNull()
    expect(around(box(0, 0, 1, 1), 0, 0.2)).toBeNull()
  })
})

describe('what the zero-shot judgement is shown', () => {
  const pixels = new Uint8Array(sidePx * sidePx * 3).fill(90)
  const grey: RgbImage = { ...picture, pixels }

  test('is the subject on white, cut to where it is', () => {
    const crop = maskedCrop(grey, maskOf(box(0.2, 0.1, 0.4, 0.8)))
    expect(crop).toMatchObject({ widthPx: 40, heightPx: 80 })
    expect(crop.pixels.every((level) => level === 90)).toBe(true)
    const ring = maskOf(box(0, 0, 1, 1))
    ring.pixels[50 * sidePx + 50] = 0
    expect(maskedCrop(grey, ring).pixels).toEqual(whiteBackground(grey, ring).pixels)
  })

  test('is a single pixel where that is the subject, and all of the picture where there is none', () => {
    const one = { ...maskOf(box(0, 0, 0, 0)) }
    one.pixels[0] = 255
    expect(maskedCrop(grey, one)).toMatchObject({ widthPx: 1, heightPx: 1 })
    expect(maskedCrop(grey, maskOf(box(0, 0, 0, 0)))).toBe(grey)
  })
})
