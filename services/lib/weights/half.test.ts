import { bfloat16ToFloat32, decodeFloats, float16ToFloat32, float32ToFloat16 } from './half.ts'

const all = Uint16Array.from({ length: 65_536 }, (_, bits) => bits)

test('every float16 has the value of its fields', () => {
  const values = float16ToFloat32(all)
  for (const bits of all) {
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    const sign = bits >> 15 ? -1 : 1
    const magnitude =
      exponent === 31
        ? fraction
          ? Number.NaN
          : Number.POSITIVE_INFINITY
        : exponent === 0
          ? fraction * 2 ** -24
          : (1 + fraction / 1024) * 2 ** (exponent - 15)
    if (!Object.is(values[bits], sign * magnitude))
      throw new Error(`${bits}: ${values[bits]} is not ${sign * magnitude}`)
  }
})

test('every float16 that is a number comes back from float32', () => {
  const back = float32ToFloat16(float16ToFloat32(all))
  for (const bits of all)
    if ((bits & 0x7fff) <= 0x7c00 && back[bits] !== bits) throw new Error(`${bits} came back as ${back[bits]}`)
})

test('float32 is rounded to the nearest float16, ties to even', () => {
  const step = 2 ** -10
  const values = [1 + step / 2, 1 + (3 * step) / 2, 1 + step / 2 + 1e-6, 65_519, 65_520, 2 ** -25, -0]
  const rounded = float16ToFloat32(float32ToFloat16(Float32Array.from(values)))
  expect([...rounded]).toEqual([1, 1 + 2 * step, 1 + step, 65_504, Number.POSITIVE_INFINITY, 0, -0])
})

test('a bfloat16 is the upper half of a float32', () => {
  const values = bfloat16ToFloat32(Uint16Array.of(0x3f80, 0xc040, 0x0001, 0x7f80))
  expect([...values]).toEqual([1, -3, 2 ** -133, Number.POSITIVE_INFINITY])
})

test('bytes of all three dtypes', () => {
  const bytes = (array: { readonly buffer: ArrayBuffer }) => new Uint8Array(array.buffer)
  expect([...decodeFloats('float32', bytes(Float32Array.of(1.5, -2)))]).toEqual([1.5, -2])
  expect([...decodeFloats('float16', bytes(Uint16Array.of(0x3c00, 0xc000)))]).toEqual([1, -2])
  expect([...decodeFloats('bfloat16', bytes(Uint16Array.of(0x3f80, 0xc000)))]).toEqual([1, -2])
})
