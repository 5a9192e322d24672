/** IEEE 754 binary16 to binary32, exact. */
export function float16ToFloat32(bits: Uint16Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const halves = new Float16Array(bits.buffer, bits.byteOffset, bits.length)
  const values = new Float32Array(halves.length)
  // Twice as fast as `set` in V8 13.6.
  for (let index = 0; index < values.length; index++) values[index] = halves[index]!
  return values
}

/** bfloat16 (the upper half of a binary32) to binary32, exact. */
export function bfloat16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const values = new Float32Array(bits.length)
  const words = new Uint32Array(values.buffer)
  for (let index = 0; index < words.length; index++) words[index] = bits[index]! << 16
  return values
}

/** binary32 to binary16, to nearest even; what exceeds 65,504 becomes infinite. */
export function float32ToFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  return new Uint16Array(new Float16Array(values).buffer)
}

export type FloatDType = 'float32' | 'float16' | 'bfloat16'

export function isFloatDType(dtype: string): dtype is FloatDType {
  return dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16'
}

/** The numbers that little-endian bytes of a checkpoint hold. float32 shares the bytes, the others are copied. */
export function decodeFloats(dtype: FloatDType, bytes: Uint8Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes
  if (dtype === 'float32') return new Float32Array(buffer, byteOffset, byteLength / 4)
  const bits = new Uint16Array(buffer, byteOffset, byteLength / 2)
  return dtype === 'float16' ? float16ToFloat32(bits) : bfloat16ToFloat32(bits)
}
