import { pickledText, pickleFile, pickleOf } from './fixtures.ts'
import { readPickle } from './pickle.ts'
import { CheckpointError } from './tensor-entry.ts'

const path = '/models/adapters.th'
const read = (pickle: Uint8Array) => readPickle(path, pickle)

test('plain values', () => {
  const opcodes = [
    '](N',
    '\x88\x89',
    'K\xff',
    'M\x01\x02',
    'J\xfe\xff\xff\xff',
    'G\xbf\xf8\0\0\0\0\0\0',
    '\x8a\x00',
    '\x8a\x02\x00\x80',
  ]
  const { items } = read(
    pickleOf(...opcodes, '\x8a\x09\x05\0\0\0\0\0\0\x80\0', pickledText('größe'), 'C\x02ab', 'e'),
  ) as { items: unknown[] }
  expect(items).toEqual([
    null,
    true,
    false,
    255,
    513,
    -2,
    { kind: 'float', value: -1.5 },
    0,
    -32768,
    2n ** 63n + 5n,
    'größe',
    Buffer.from('ab'),
  ])
})

test('the memo shares values; dicts keep the order of their keys, str and int', () => {
  const memoised = read(pickleOf('}q\x07(', pickledText('b'), ']q\x01', 'K\x01', 'h\x01', 'u'))
  const list = { kind: 'list', items: [] }
  expect(memoised).toEqual({
    kind: 'dict',
    items: new Map<unknown, unknown>([
      ['b', list],
      [1, list],
    ]),
  })
})

test('protocol 4: frames, MEMOIZE, STACK_GLOBAL and short strings', () => {
  const body = Buffer.from('\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93)R\x94\x8c\x01k\x94h\x03s.', 'latin1')
  const head = Buffer.from('\x80\x04\x95\0\0\0\0\0\0\0\0', 'latin1')
  head.writeBigUInt64LE(BigInt(body.length), 3)
  expect(read(Buffer.concat([head, body]))).toEqual({ kind: 'dict', items: new Map([['k', 'k']]) })
})

test('__proto__ is a key like any other', () => {
  const dict = read(pickleOf('}', pickledText('__proto__'), 'K\x01s'))
  expect(dict).toEqual({ kind: 'dict', items: new Map([['__proto__', 1]]) })
})

const storage = [pickledText('storage'), 'ctorch\nFloatStorage\n', pickledText('0'), pickledText('cpu')]
const only = 'tensors, dicts, lists and plain values are allowed'

test.each<[string, Uint8Array, string]>([
  [
    'a call of the shell',
    pickleOf('cos\nsystem\n(', pickledText('id'), 'tR'),
    `byte 2: refers to 'os.system'; ${only}`,
  ],
  [
    'a name from the stack',
    pickleOf(pickledText('builtins'), pickledText('eval'), '\x93'),
    `byte 24: refers to 'builtins.eval'; ${only}`,
  ],
  ['a name that is no string', pickleOf('K\x01N\x93'), `byte 5: refers to '1.None'; ${only}`],
  ['a name of Object.prototype', pickleOf('c\n__proto__\n'), `byte 2: refers to '.__proto__'; ${only}`],
  ['another torch function', pickleOf('ctorch\nload\n'), `byte 2: refers to 'torch.load'; ${only}`],
  ['a name without an end', pickleOf(`c${'x'.repeat(300)}\n`), 'byte 2: a name does not end within 256 bytes'],
  ['INST', pickleOf('(ios\nsystem\n'), 'byte 3: opcode 0x69 is not allowed in a state dict'],
  ['OBJ', pickleOf('(o'), 'byte 3: opcode 0x6f is not allowed in a state dict'],
  ['NEWOBJ', pickleOf('N)\x81'), 'byte 4: opcode 0x81 is not allowed in a state dict'],
  ['EXT1', pickleOf('\x82\x01'), 'byte 2: opcode 0x82 is not allowed in a state dict'],
  ['a set', pickleOf('\x8f'), 'byte 2: opcode 0x8f is not allowed in a state dict'],
  ['a call of a value', pickleOf('K\x01)R'), 'byte 5: calls 1 with (), which is not allowed'],
  [
    'a call of a storage type',
    pickleOf('ctorch\nFloatStorage\n)R'),
    "byte 23: calls 'torch.FloatStorage' with (), which is not allowed",
  ],
  [
    'an OrderedDict of something',
    pickleOf('ccollections\nOrderedDict\n]\x85R'),
    "byte 29: calls 'collections.OrderedDict' with (a list of 0), which is not allowed",
  ],
  [
    'a parameter of no tensor',
    pickleOf('ctorch._utils\n_rebuild_parameter\nN\x88}\x87R'),
    "byte 39: calls 'torch._utils._rebuild_parameter' with (None, true, a dict), which is not allowed",
  ],
  [
    'a tensor of no storage',
    pickleOf('ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))\x89}tR'),
    "byte 44: calls 'torch._utils._rebuild_tensor_v2' with (None, 0, a tuple of 0, a tuple of 0, false, a dict), which is not allowed",
  ],
  [
    'a negative size',
    pickleOf('ctorch._utils\n_rebuild_tensor_v2\n((', ...storage, 'K\x01tQK\x00J\xff\xff\xff\xff\x85K\x01\x85\x89}tR'),
    "byte 101: calls 'torch._utils._rebuild_tensor_v2' with (a storage, 0, a tuple of 1, a tuple of 1, false, a dict), which is not allowed",
  ],
  [
    'a storage of another kind',
    pickleOf('(', pickledText('module'), ...storage.slice(1), 'K\x01tQ'),
    "byte 51: ('module', 'torch.FloatStorage', '0', 'cpu', 1) stands for no storage",
  ],
  [
    'a storage that leads elsewhere',
    pickleOf('(', ...storage.slice(0, 2), pickledText('../0'), pickledText('cpu'), 'K\x01tQ'),
    "byte 55: ('storage', 'torch.FloatStorage', '../0', 'cpu', 1) stands for no storage",
  ],
  ['state for a list', pickleOf(']}b'), 'byte 4: a list of 0 is given the state a dict'],
  [
    'a key twice',
    pickleOf('}(', pickledText('a'), 'N', pickledText('a'), 'Nu'),
    "byte 18: a dict has the key 'a' twice",
  ],
  ['a key without a value', pickleOf('}(Nu'), 'byte 5: the last key has no value'],
  ['a key that is a list', pickleOf('}(]Nu'), 'byte 6: a key is a list of 0; str and int are allowed'],
  ['keys for a list', pickleOf('](NNu'), 'byte 6: a list of 0 is given keys; a dict is allowed'],
  ['elements for a tuple', pickleOf(')Na'), 'byte 4: a tuple of 0 is given elements; a list is allowed'],
  ['an empty stack', pickleOf(''), 'byte 2: the stack is empty'],
  ['a pop below the mark', pickleOf('N(0'), 'byte 4: the stack is empty'],
  ['no mark', pickleOf('Nt'), 'byte 3: no mark is set'],
  ['an empty memo slot', pickleOf('h\x05'), 'byte 2: memo slot 5 is empty'],
  ['values left over', pickleOf('NN'), 'byte 4: values are left on the stack at the end'],
  [
    'bytes behind the end',
    Buffer.concat([pickleOf('N'), Buffer.from('N')]),
    'byte 3: 1 bytes follow the end of the pickle',
  ],
  ['a truncated pickle', pickleFile({ a: 1 }).subarray(0, -1), 'byte 65: is truncated: 1 bytes are needed, 0 are left'],
  ['a string past the end', pickleOf('X\xff\0\0\0a'), 'byte 2: is truncated: 255 bytes are needed, 2 are left'],
  ['a string of 2 GB', pickleOf('X\0\0\0\x80'), 'byte 2: a string of 2147483648 bytes; at most 65536 are allowed'],
  [
    'a string of 2^64 bytes',
    pickleOf('\x8d', '\xff'.repeat(8)),
    'byte 2: a string of 18446744073709552000 bytes; at most 65536 are allowed',
  ],
  ['a string that is no UTF-8', pickleOf('\x8c\x01\xff'), 'byte 2: a string is not UTF-8'],
  ['protocol 6', pickleOf('\x80\x06'), 'byte 2: pickle protocol 6; 2 to 5 are allowed'],
  ['a frame past the end', pickleOf('\x95\x05\0\0\0\0\0\0\0N'), 'byte 2: a frame of 5 bytes, 2 are left'],
  ['33 MiB', new Uint8Array(33 * 2 ** 20), 'byte 0: the pickle has 34603008 bytes; at most 33554432 are allowed'],
  ['1,000,001 values', pickleOf('N'.repeat(1_000_001)), 'byte 1000002: more than 1000000 values on the stack'],
  ['1,000,001 marks', pickleOf('('.repeat(1_000_001)), 'byte 1000002: more than 1000000 marks'],
  ['1,000,001 objects', pickleOf(')0'.repeat(1_000_001)), 'byte 2000002: more than 1000000 objects'],
  [
    '1,000,001 elements',
    pickleOf('](', 'N'.repeat(999_998), 'e(NNNe'),
    'byte 1000007: more than 1000000 elements of lists',
  ],
  ['1,000,001 memo slots', pickleOf('N', '\x94'.repeat(1_000_001)), 'byte 1000003: more than 1000000 memo slots'],
])('%s is refused', (_, pickle, problem) => {
  expect(() => read(pickle)).toThrow(new CheckpointError(path, `data.pkl, ${problem}`))
})
