import {
  addDims,
  dividesDim,
  equalDims,
  evaluateDim,
  floorDivideDim,
  multiplyDims,
  parseDim,
  showDim,
} from './dimension.ts'

test('products of names and numbers are read, multiplied and shown in one canonical order', () => {
  const area = multiplyDims(parseDim('8*width'), parseDim('8*height'))
  expect(showDim(area)).toBe('64*height*width')
  expect(equalDims(area, parseDim('width*64*height'))).toBe(true)
  expect(equalDims(area, parseDim('63*height*width'))).toBe(false)
  expect(evaluateDim(area, { height: 8, width: 12 })).toBe(64 * 96)
})

test('sums cancel to numbers', () => {
  const tokens = addDims(parseDim('before'), 576)
  expect(showDim(tokens)).toBe('before + 576')
  expect(addDims(tokens, multiplyDims(parseDim('before'), -1))).toBe(576)
})

test('a floor is taken only where it does not depend on the names', () => {
  // A 3×3 convolution of stride 2, padded by one, halves an even side: (8h + 2 − 3) / 2 + 1 = 4h.
  const halved = floorDivideDim(addDims(parseDim('8*height'), -1), 2)!
  expect(showDim(addDims(halved, 1))).toBe('4*height')
  expect(floorDivideDim(parseDim('height'), 2)).toBeUndefined()
  expect(floorDivideDim(-3, 2)).toBe(-2)
})

test('a number divides a size for certain where it divides every term', () => {
  expect(dividesDim(parseDim('8*height'), 4)).toBe(true)
  expect(dividesDim(parseDim('2*height'), 4)).toBe(false)
  expect(dividesDim(addDims(parseDim('4*height'), 2), 4)).toBe(false)
  expect([dividesDim(12, 4), dividesDim(6, 4), dividesDim(6, 2)]).toEqual([true, false, true])
})

test('what is no product is refused with its text', () => {
  expect(() => parseDim('8h*')).toThrow(`dimension '8h*': '8h' is neither a name nor a whole number`)
  expect(() => parseDim(2.5)).toThrow('dimension 2.5')
  expect(() => evaluateDim(parseDim('images'), {})).toThrow(`no size given for 'images'`)
})
