import { sourceOf } from './byte-source.ts'
import { safetensorsFile } from './fixtures.ts'
import { readSafetensorsFrom } from './safetensors.ts'
import { CheckpointError } from './tensor-entry.ts'

const path = '/models/unet.safetensors'
const read = (file: Uint8Array) => readSafetensorsFrom(sourceOf(path, file))
const tensor = (dtype: string, shape: unknown, begin: number, end: number) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
})

test('every dtype, scalars and empty tensors are found where they lie', () => {
  const sizes = { F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 }
  let end = 0
  const header: Record<string, unknown> = { __metadata__: { format: 'pt', 'a"b': '\\' } }
  for (const [dtype, size] of Object.entries(sizes)) {
    header[dtype] = tensor(dtype, [3, 1], end, end + 3 * size)
    end += 3 * size
  }
  header.scalar = tensor('F32', [], end, end + 4)
  header.empty = tensor('F16', [0, 7], end + 4, end + 4)
  const file = safetensorsFile({ header, data: new Uint8Array(end + 4) })
  const { source, tensors } = read(file)
  expect(source).toBe(path)
  expect(tensors.size).toBe(12)
  const start = file.length - end - 4
  expect(tensors.get('F32')).toEqual({
    name: 'F32',
    dtype: 'float32',
    shape: [3, 1],
    file: path,
    offset: start + 24,
    length: 12,
  })
  expect(tensors.get('BOOL')?.dtype).toBe('bool')
  expect(tensors.get('scalar')).toMatchObject({ shape: [], offset: start + end, length: 4 })
  expect(tensors.get('empty')).toMatchObject({ shape: [0, 7], offset: start + end + 4, length: 0 })
})

test('names are data: escapes, unicode and the names of Object.prototype', () => {
  const names = ['__proto__', 'constructor', 'größe', 'a"b\\', '\n', '']
  const entries = names.map(
    (name, index) => `${JSON.stringify(name)}:${JSON.stringify(tensor('U8', [1], index, index + 1))}`,
  )
  const { tensors } = read(
    safetensorsFile({ header: `{${entries.join(',')}}  \n`, data: new Uint8Array(names.length) }),
  )
  expect([...tensors.keys()]).toEqual(names)
})

const one = tensor('F32', [2], 0, 8)
const eight = new Uint8Array(8)
const field = (json: string) => `{"a":{"dtype":"F32","shape":[2],${json}}}`
const shape = (json: string) => `{"a":{"dtype":"F32","shape":${json},"data_offsets":[0,8]}}`

test.each<[string, Uint8Array, string]>([
  ['an empty file', new Uint8Array(), "is truncated: a header's length takes 8 bytes, the file has 0"],
  [
    'a header of 2 GB',
    safetensorsFile({ header: {}, headerLength: 2n ** 31n }),
    'the header has 2147483648 bytes; at most 100000000 are allowed',
  ],
  [
    'a header of 2^64 − 1 bytes',
    safetensorsFile({ header: {}, headerLength: 2n ** 64n - 1n }),
    'the header has 18446744073709552000 bytes; at most 100000000 are allowed',
  ],
  [
    'a header past the end',
    safetensorsFile({ header: {}, headerLength: 3n }),
    'is truncated: the header ends at byte 11, the file has 10',
  ],
  ['an array', safetensorsFile({ header: [] }), "the header must be a JSON object; it starts with '['"],
  ['no header', safetensorsFile({ header: '' }), "the header must be a JSON object; it starts with ''"],
  [
    'half JSON',
    safetensorsFile({ header: '{"a":' }),
    "the header, character 5: tensor 'a': '{' is expected, got the end",
  ],
  ['two values', safetensorsFile({ header: '{}{}' }), "the header, character 2: only white space may follow, got '{}'"],
  [
    'bytes that are no UTF-8',
    safetensorsFile({ header: '{}', data: eight, headerLength: 3n }).fill(0xff, 10),
    'the header is not UTF-8',
  ],
  ['a trailing comma', safetensorsFile({ header: '{"a":{},}' }), "tensor 'a' has no dtype"],
  [
    'a name twice',
    safetensorsFile({ header: `{"a":${JSON.stringify(one)},"\\u0061":${JSON.stringify(one)}}`, data: eight }),
    "the header, character 62: the header has the key 'a' twice",
  ],
  [
    'a field twice',
    safetensorsFile({ header: field('"shape":[2],"data_offsets":[0,8]'), data: eight }),
    "the header, character 39: tensor 'a' has the key 'shape' twice",
  ],
  [
    'a dtype that is not known',
    safetensorsFile({ header: { a: tensor('F8_E4M3', [8], 0, 8) }, data: eight }),
    "tensor 'a' has the dtype 'F8_E4M3'; known are F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL",
  ],
  [
    'a field that is not known',
    safetensorsFile({ header: field('"scale":1'), data: eight }),
    "tensor 'a' has the field 'scale'; allowed are dtype, shape, data_offsets",
  ],
  [
    'no shape',
    safetensorsFile({ header: { a: { dtype: 'F32', data_offsets: [0, 8] } }, data: eight }),
    "tensor 'a' has no shape",
  ],
  [
    'no offsets',
    safetensorsFile({ header: { a: { dtype: 'F32', shape: [2] } } }),
    "tensor 'a' has no data_offsets of two numbers",
  ],
  [
    'one offset',
    safetensorsFile({ header: field('"data_offsets":[0]'), data: eight }),
    "tensor 'a' has no data_offsets of two numbers",
  ],
  ...['-2', '2.0', '2.5', '1e3', '02', '9007199254740992'].map((number): [string, Uint8Array, string] => [
    `a size of ${number}`,
    safetensorsFile({ header: shape(`[${number}]`), data: eight }),
    `the header, character ${29 + number.length}: shape[0] of tensor 'a' is '${number}'; whole numbers from 0 to 2^53 − 1 are allowed`,
  ]),
  [
    'a size that is no number',
    safetensorsFile({ header: shape('["2"]'), data: eight }),
    `the header, character 29: shape[0] of tensor 'a' is '"2"],"data_offsets":'; a whole number is allowed`,
  ],
  [
    'sizes whose product is huge',
    safetensorsFile({ header: shape('[4294967296,4294967296]'), data: eight }),
    "tensor 'a' has data_offsets [0, 8], 8 bytes; float32 [4294967296, 4294967296] takes Infinity",
  ],
  [
    'too many axes',
    safetensorsFile({ header: shape(JSON.stringify(Array(33).fill(1))), data: eight }),
    "tensor 'a' has more than 32 numbers in shape",
  ],
  [
    'a length that is not the shape’s',
    safetensorsFile({ header: { a: tensor('F32', [3], 0, 8) }, data: eight }),
    "tensor 'a' has data_offsets [0, 8], 8 bytes; float32 [3] takes 12",
  ],
  [
    'an end before its begin',
    safetensorsFile({ header: { a: tensor('F32', [2], 8, 0) }, data: eight }),
    "tensor 'a' has data_offsets [8, 0], -8 bytes; float32 [2] takes 8",
  ],
  [
    'offsets past the end',
    safetensorsFile({ header: { a: tensor('F32', [2], 0, 8) }, data: eight.subarray(1) }),
    "is truncated: tensor 'a' ends at byte 70, the file has 69",
  ],
  [
    'an overlap',
    safetensorsFile({ header: { a: one, b: tensor('F32', [2], 4, 12) }, data: new Uint8Array(12) }),
    "tensors 'a' and 'b' overlap: one ends at byte 124, the other starts at 120",
  ],
  [
    'a hole',
    safetensorsFile({ header: { a: one, b: tensor('U8', [1], 11, 12) }, data: new Uint8Array(12) }),
    "a hole of 3 bytes lies before tensor 'b'",
  ],
  [
    'trailing bytes',
    safetensorsFile({ header: { a: one }, data: new Uint8Array(13) }),
    '5 bytes follow the last tensor; none are allowed',
  ],
  [
    'metadata that is no string',
    safetensorsFile({ header: { __metadata__: { step: 3 } } }),
    `the header, character 24: __metadata__ 'step': '"' is expected, got '3}}'`,
  ],
  [
    'metadata of 262,146 keys',
    safetensorsFile({
      header: `{"__metadata__":{${Array.from({ length: 262_146 }, (_, key) => `"${key}":""`).join(',')}}}`,
    }),
    'the header, character 3034655: __metadata__ has more than 262145 keys',
  ],
  [
    'half a surrogate pair',
    safetensorsFile({ header: '{"\\ud800":{}}' }),
    "the header, character 9: a key of the header: '\\ud800' is no JSON string",
  ],
  [
    'a name of 2,000 characters',
    safetensorsFile({ header: { ['x'.repeat(2000)]: one }, data: eight }),
    `tensor '${'x'.repeat(100)}…' has a name of 2000 characters; at most 1024 are allowed`,
  ],
  ['a line break in a name', safetensorsFile({ header: { 'a\nb': {} } }), "tensor 'a\\u000ab' has no dtype"],
])('%s is refused', (_, file, problem) => {
  expect(() => read(file)).toThrow(new CheckpointError(path, problem))
})
