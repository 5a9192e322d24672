import { estimate, mean, pairedDifference, standardError, verdictOf } from './statistics.ts'

test('mean and standard error are the textbook ones', () => {
  const values = [2, 4, 4, 4, 5, 5, 7, 9]
  expect(mean(values)).toBe(5)
  // Σ(x − 5)² = 32; s² = 32/7; s/√8.
  expect(standardError(values)).toBeCloseTo(Math.sqrt(32 / 7 / 8), 12)
  expect(estimate(values)).toEqual({ mean: 5, standardError: standardError(values), subjects: 8 })
})

test('what too few values do not have is null', () => {
  expect([mean([]), standardError([]), estimate([])]).toEqual([null, null, null])
  expect(estimate([3])).toEqual({ mean: 3, standardError: null, subjects: 1 })
})

test('a paired difference knows nothing of how much subjects differ from each other', () => {
  const a = new Map([
    ['cat', 0.9],
    ['boot', 0.3],
    ['only here', 5],
  ])
  const b = new Map([
    ['boot', 0.2],
    ['cat', 0.8],
    ['only there', 7],
  ])
  const difference = pairedDifference(a, b)!
  expect(difference.mean).toBeCloseTo(0.1, 12)
  expect(difference.standardError).toBeCloseTo(0, 12)
  expect(difference.subjects).toBe(2)
})

test.each([
  [0.1, 0.04, 'holds'],
  [0.1, 0.06, 'undecided'],
  [-0.1, 0.04, 'reversed'],
  [0.1, null, 'undecided'],
])('a difference of %d ± %s: %s', (middle, error, verdict) => {
  expect(verdictOf({ mean: middle, standardError: error, subjects: 3 })).toBe(verdict)
})
