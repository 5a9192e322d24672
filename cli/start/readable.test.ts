import { readableLine } from './readable.ts'

test('a line of a log, for people', () => {
  const time = new Date(2026, 0, 2, 3, 4, 5).toISOString()
  const line = JSON.stringify({ level: 40, time, service: 'denoise', serving: false, why: 'no route', msg: 'endpoint' })
  expect(readableLine('generation', line)).toBe(
    '03:04:05 generation warn  endpoint service=denoise serving=false why="no route"',
  )
})

test('an error by its sentence, without its stack', () => {
  const err = { type: 'Error', message: 'it broke', stack: 'Error: it broke\n    at somewhere' }
  expect(readableLine('compute', JSON.stringify({ level: 50, time: 0, err, msg: 'call' }))).toMatch(
    /^\d\d:\d\d:\d\d compute {4}error call \(it broke\)$/,
  )
})

test.each(['moma: PORT is "x"', '{ not json', '{"no":"level"}', '[1]'])('%s stays as it is', (line) => {
  expect(readableLine('gateway', line)).toBe(`gateway: ${line}`)
})
