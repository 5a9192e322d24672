import { SubjectArea } from './subject-area.ts'

/** 10 × 4 pixels, of which the columns 2 … 5 are subject in the two upper rows. */
const pixels = new Uint8Array(40)
for (const y of [0, 1]) pixels.fill(255, y * 10 + 2, y * 10 + 6)
pixels[39] = 127
const subject = new SubjectArea({ widthPx: 10, heightPx: 4, pixels })
const box = (left: number, top: number, width: number, height: number) => ({ left, top, width, height })

test.each([
  ['all of it', box(0.2, 0, 0.4, 0.5), 1, 1],
  ['half of it', box(0, 0, 0.4, 1), 0.5, 4 / 16],
  ['pixels that it touches', box(0.21, 0.01, 0.01, 0.01), 1 / 8, 1],
  ['nothing', box(0.7, 0.5, 0.3, 0.5), 0, 0],
  ['nothing, having no size', box(1, 1, 0, 0), 0, 0],
])('a box holds %s', (_, region, coverage, filling) => {
  expect(subject.overlap(region)).toEqual({ coverage, filling })
})

test('several boxes hold a pixel once', () => {
  const boxes = [box(0, 0, 0.3, 0.5), box(0.1, 0, 0.3, 1), box(0.1, 0, 0.2, 0.2), box(0.5, 0, 0.5, 0.5)]
  expect(subject.coverageInOrder(boxes)).toEqual([0.25, 0.5, 0.5, 0.75])
  expect(subject.coverageInOrder([])).toEqual([])
})

test('no subject is held by nothing', () => {
  const none = new SubjectArea({ widthPx: 10, heightPx: 4, pixels: new Uint8Array(40) })
  expect(none.overlap(box(0, 0, 1, 1))).toEqual({ coverage: 0, filling: 0 })
  expect(none.coverageInOrder([box(0, 0, 1, 1)])).toEqual([0])
})
