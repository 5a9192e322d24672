import { sourceOf } from './byte-source.ts'
import { pickledText, pickleFile, pickleOf, type StateFixture, TensorFixture, torchFile, zipFile } from './fixtures.ts'
import { CheckpointError } from './tensor-entry.ts'
import { readTorchZipFrom } from './torch-zip.ts'

const path = '/models/adapters.th'
const read = (file: Uint8Array) => readTorchZipFrom(sourceOf(path, file))
const twelve = Buffer.from('twelve bytes')
const tensor = (dtype: 'float32' | 'float16', shape: number[], view: Partial<TensorFixture> = {}) =>
  new TensorFixture(dtype, shape, '0', view)
const saved = (state: StateFixture, more: object = {}) =>
  torchFile({ pickle: pickleFile(state), storages: { 0: twelve }, ...more })

test.each([false, true])('nested dicts and lists become names with dots (zip64: %s)', (zip64) => {
  const bytes = Buffer.from([1, 2, 3, 4])
  const state = {
    projectors: { 'proj.weight': tensor('float32', [3, 1]) },
    layers: [{ scale: new TensorFixture('bfloat16', [], '1') }, new TensorFixture('uint8', [1, 4], '2')],
    epoch: 3,
    name: 'adapters',
    rate: 1e-5,
    nothing: null,
  }
  const storages = { 0: twelve, 1: bytes.subarray(0, 2), 2: bytes }
  const file = torchFile({ pickle: pickleFile(state), storages }, { zip64 })
  const { source, tensors } = read(file)
  expect(source).toBe(path)
  const found = [...tensors.values()].map(({ name, dtype, shape, offset, length }) => [
    name,
    dtype,
    shape,
    file.subarray(offset, offset + length).toString('latin1'),
  ])
  expect(found).toEqual([
    ['projectors.proj.weight', 'float32', [3, 1], 'twelve bytes'],
    ['layers.0.scale', 'bfloat16', [], '\x01\x02'],
    ['layers.1', 'uint8', [1, 4], '\x01\x02\x03\x04'],
  ])
  for (const entry of tensors.values()) expect(entry.file).toBe(path)
})

test('tensors share a storage, each from its own offset', () => {
  const file = saved({ all: tensor('float32', [3]), last: tensor('float32', [1, 2], { elements: 3, offset: 1 }) })
  const { tensors } = read(file)
  expect(tensors.get('last')!.offset).toBe(tensors.get('all')!.offset + 4)
  expect(tensors.get('last')!.length).toBe(8)
})

test('strides of axes of size one, and of empty tensors, say nothing', () => {
  const { tensors } = read(
    saved({
      row: tensor('float32', [1, 3], { strides: [7, 1] }),
      empty: tensor('float32', [0, 3], { strides: [1, 0] }),
    }),
  )
  expect(tensors.get('row')!.length).toBe(12)
  expect(tensors.get('empty')!.length).toBe(0)
})

const loop = pickleOf('}q\x00', pickledText('self'), 'h\x00s')
const doubling = pickleOf(
  '}q\x000',
  ...Array.from({ length: 25 }, (_, depth) => [
    ...['}q', depth + 1, pickledText('a'), 'h', depth, 's', pickledText('b'), 'h', depth, 's0'],
  ]).flat(),
  'h\x19',
)

test.each<[string, Uint8Array, string]>([
  [
    'the format before torch 1.6',
    Buffer.from('\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.', 'latin1'),
    'is in the format that torch used before 1.6, or a bare pickle; load it in Python and save it again with torch.save',
  ],
  ['a text', Buffer.from('hello'), 'is no checkpoint: *.safetensors, *.index.json and the zip files of torch.save are'],
  [
    'an empty file',
    Buffer.alloc(0),
    'is no checkpoint: *.safetensors, *.index.json and the zip files of torch.save are',
  ],
  [
    'a zip file of something else',
    zipFile([{ name: 'word/document.xml', data: twelve }]),
    "is no file of torch.save: it has 0 entries '<folder>/data.pkl'",
  ],
  [
    'two pickles',
    saved({}, { others: [{ name: 'other/data.pkl', data: pickleFile({}) }] }),
    "is no file of torch.save: it has 2 entries '<folder>/data.pkl'",
  ],
  [
    'a program',
    saved({}, { others: [{ name: 'model/constants.pkl', data: twelve }] }),
    'is a TorchScript program; a dict of tensors, saved by torch.save, is allowed',
  ],
  ['big-endian bytes', saved({}, { byteOrder: 'big' }), "has the byte order 'big'; 'little' is allowed"],
  ['a tensor alone', saved(tensor('float32', [3])), 'holds a tensor; a dict of tensors is allowed'],
  [
    'a call',
    torchFile({ pickle: pickleOf('cos\nsystem\n)R'), storages: {} }),
    "data.pkl, byte 2: refers to 'os.system'; tensors, dicts, lists and plain values are allowed",
  ],
  [
    'a storage that is missing',
    torchFile({ pickle: pickleFile({ a: tensor('float32', [3]) }), storages: {} }),
    "tensor 'a' lies in the entry 'data/0', which is missing",
  ],
  [
    'a storage larger than its entry',
    saved({ a: tensor('float32', [3], { elements: 4 }) }),
    "tensor 'a' lies in a storage of 4 × float32; its entry 'data/0' has 12 bytes",
  ],
  [
    'a tensor past the end of its storage',
    saved({ a: tensor('float32', [3], { offset: 1 }) }),
    "tensor 'a' ends at byte 16 of its storage, which has 12",
  ],
  [
    'a huge tensor',
    saved({ a: tensor('float32', [2 ** 40, 2 ** 40], { elements: 3 }) }),
    "tensor 'a' ends at byte Infinity of its storage, which has 12",
  ],
  [
    'a transposed tensor',
    saved({ a: tensor('float16', [2, 3], { strides: [1, 2] }) }),
    "tensor 'a' [2, 3] has the strides [1, 2]: it is not contiguous; save it with .contiguous()",
  ],
  [
    'an expanded tensor',
    saved({ a: tensor('float32', [2, 3], { elements: 3, strides: [0, 1] }) }),
    "tensor 'a' [2, 3] has the strides [0, 1]: it is not contiguous; save it with .contiguous()",
  ],
  [
    'too many axes',
    saved({ a: tensor('float32', Array(33).fill(1)) }),
    "tensor 'a' has 33 axes; at most 32 are allowed",
  ],
  [
    'one name twice',
    saved({ 'a.b': tensor('float32', [3]), a: { b: tensor('float32', [3]) } }),
    "two tensors are named 'a.b'",
  ],
  [
    'a long name',
    saved({ ['x'.repeat(1025)]: tensor('float32', [3]) }),
    'a name has 1025 characters; at most 1024 are allowed',
  ],
  [
    'a dict that holds itself',
    torchFile({ pickle: loop, storages: {} }),
    `'${'self.'.repeat(20)}…' is nested deeper than 32 levels`,
  ],
  ['dicts that double at every level', torchFile({ pickle: doubling, storages: {} }), 'holds more than 1000000 values'],
])('%s is refused', (_, file, problem) => {
  expect(() => read(file)).toThrow(new CheckpointError(path, problem))
})
