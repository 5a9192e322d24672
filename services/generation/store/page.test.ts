import { readPageRequest } from './page.ts'

const tokenOf = (text: string) => Buffer.from(text).toString('base64url')

test.each([
  ['garbage', 'garbage'],
  ['the year 33658', 'OTk5OTk5OTk5OTk5OTk5IHg'],
  ['the first moment after the year 9999', tokenOf('253402300800000 x')],
  ['a moment before 1970', tokenOf('-1 x')],
])('%s is no token of ours', (_, token) => {
  expect(() => readPageRequest(10, token)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})

test.each([0, 253402300799999])('the moment %i is one', (ms) => {
  expect(readPageRequest(10, tokenOf(`${ms} x`))).toEqual({ size: 10, after: { createdAt: new Date(ms), id: 'x' } })
})
