/** Small valid checkpoints of every kind, and ways to damage them. */
import {
  pickledText,
  pickleFile,
  safetensorsFile,
  TensorFixture,
  torchEntries,
  type ZipOptions,
  zipFile,
} from '../../services/lib/weights/fixtures.ts'

/** The files of one checkpoint; the first is the one that is opened. */
export type Files = Map<string, Buffer>

/** Whole numbers from 0 up to, not including, `limit`. */
type Random = (limit: number) => number

/** The damaged checkpoint of an iteration, always the same. */
export function damaged(seed: number, iteration: number): Files {
  const random = randomOf(seed, iteration)
  const files = pick(random, seeds)()
  for (let rounds = pick(random, [1, 1, 1, 2, 4]); rounds > 0; rounds--) {
    const names = [...files.keys()]
    // Of an index with its shards, the index every other time.
    const name = random(2) === 0 ? names[0]! : pick(random, names)
    files.set(name, damageFile(random, name, files.get(name)!))
  }
  return files
}

const random32 = (state: number): number => {
  let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

function randomOf(seed: number, iteration: number): Random {
  let state = random32(seed * 0x9e3779b9 + iteration)
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0
    return Math.floor((random32(state) / 2 ** 32) * limit)
  }
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  const item = items[random(items.length)]
  if (item === undefined) throw new RangeError('there is nothing to pick from')
  return item
}

const header = {
  __metadata__: { format: 'pt' },
  'conv.weight': { dtype: 'F16', shape: [2, 3, 1], data_offsets: [0, 12] },
  'conv.bias': { dtype: 'F32', shape: [2], data_offsets: [12, 20] },
  count: { dtype: 'I64', shape: [], data_offsets: [20, 28] },
  mask: { dtype: 'BOOL', shape: [4, 0], data_offsets: [28, 28] },
}

const state = {
  projectors: {
    'proj.weight': new TensorFixture('float32', [3, 2], '0'),
    'norm.weight': new TensorFixture('float16', [4], '1'),
  },
  layers: [{ scale: new TensorFixture('bfloat16', [], '1', { elements: 4, offset: 1 }) }, 'text', 1.5, null],
  step: 2 ** 40,
}

/** What Python writes at protocol 4: a frame, MEMOIZE, STACK_GLOBAL, short strings. */
const protocol4 = (() => {
  const text = (value: string) => `\x8c${String.fromCharCode(value.length)}${value}\x94`
  const storage = `(${text('storage')}${text('torch')}${text('FloatStorage')}\x93${text('0')}${text('cpu')}K\x06t\x94Q`
  const tensor = `${text('torch._utils')}${text('_rebuild_tensor_v2')}\x93\x94(${storage}K\x00K\x03K\x02\x86K\x02K\x01\x86\x89${text('collections')}${text('OrderedDict')}\x93)Rt\x94R`
  const body = `}\x94(${text('a')}${tensor}${text('list')}]\x94(K\x01M\x00\x02G?\xf8\0\0\0\0\0\0\x8a\x02\xff\x00eu.`
  const frame = Buffer.from('\x80\x04\x95\0\0\0\0\0\0\0\0', 'latin1')
  frame.writeUInt32LE(body.length, 3)
  return Buffer.concat([frame, Buffer.from(body, 'latin1')])
})()

const storages = { 0: Buffer.alloc(24, 1), 1: Buffer.alloc(8, 2) }
const pickles = [pickleFile(state), protocol4]
const torchOf = (pickle: Uint8Array, options: ZipOptions = {}) => zipFile(torchEntries({ pickle, storages }), options)
const shard = (name: string) =>
  safetensorsFile({ header: { [name]: { dtype: 'U8', shape: [2], data_offsets: [0, 2] } }, data: Buffer.alloc(2) })
const index = {
  metadata: { total_size: 4 },
  weight_map: { a: '1.safetensors', b: '2.safetensors', 'projectors.proj.weight': '3.bin' },
}

const seeds: readonly (() => Files)[] = [
  () => new Map([['model.safetensors', safetensorsFile({ header, data: Buffer.alloc(28) })]]),
  () => new Map([['model.th', torchOf(pickles[0]!)]]),
  () => new Map([['model.pt', torchOf(pickles[0]!, { zip64: true })]]),
  () => new Map([['model.bin', torchOf(protocol4)]]),
  () =>
    new Map([
      ['model.index.json', Buffer.from(JSON.stringify(index))],
      ['1.safetensors', shard('a')],
      ['2.safetensors', shard('b')],
      ['3.bin', torchOf(pickles[0]!)],
    ]),
]

// Damage

const edges = [0n, 1n, 2n, 7n, 0x7fn, 0xffn, 0xffffn, 0x7fffffffn, 0xffffffffn, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]
const numbers = [
  '0',
  '-1',
  '1.5',
  '1e9',
  '7',
  '29',
  '2147483648',
  '9007199254740991',
  '9007199254740993',
  '1e400',
  'null',
  '"1"',
  '[]',
]
const texts = [
  '""',
  '"a"',
  '"F8_E5M2"',
  '"U8"',
  '"..\\/x"',
  '"3.bin"',
  '"\\ud800"',
  '"\\u0000"',
  '"__metadata__"',
  '"shape"',
  '{}',
  '1',
  'x',
]
const openings = ['{', '}', '[', ']', ',', ':', '"', '\\', ' ', '\xff', '[['.repeat(40), '{"a":'.repeat(70)]
const opcodes =
  '().012NJKMGXBCcRQbhjqrtuse]}\x80\x81\x82\x83\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x97ioVILF'
const snippets = [
  'cos\nsystem\n',
  'cbuiltins\neval\n',
  'ctorch\nFloatStorage\n',
  'ctorch\nHalfStorage\n',
  'ctorch._utils\n_rebuild_parameter\n',
  'X\x01\0\0\0k]q\x00h\x00as',
  'X\x01\0\0\0k}q\x00X\x01\0\0\0kh\x00ss',
]

const replace = (bytes: Buffer, start: number, end: number, by: Uint8Array) =>
  Buffer.concat([bytes.subarray(0, start), by, bytes.subarray(end)])

/** Some range of the bytes, most often a short one. */
function range(random: Random, bytes: Buffer): [number, number] {
  const start = random(bytes.length + 1)
  return [start, Math.min(bytes.length, start + (random(4) === 0 ? random(bytes.length + 1) : random(16)))]
}

function overwrite(random: Random, bytes: Buffer, at: number): Buffer {
  const damaged = Buffer.from(bytes)
  const value = random(2) === 0 ? pick(random, edges) : BigInt(random(bytes.length + 64))
  const width = pick(random, [1, 2, 4, 8])
  for (let byte = 0; byte < width && at + byte < damaged.length; byte++)
    damaged[at + byte] = Number((value >> BigInt(8 * byte)) & 0xffn)
  return damaged
}

/** Damage that knows nothing of the format. */
function damage(random: Random, bytes: Buffer): Buffer {
  const [start, end] = range(random, bytes)
  switch (random(8)) {
    case 0: {
      const damaged = Buffer.from(bytes)
      for (let flips = random(6); flips >= 0 && damaged.length > 0; flips--) {
        const at = random(damaged.length)
        damaged[at] = damaged[at]! ^ (1 << random(8))
      }
      return damaged
    }
    case 1:
      return bytes.subarray(0, start)
    case 2:
      return replace(bytes, start, end, Buffer.alloc(0))
    case 3:
      return replace(bytes, start, start, bytes.subarray(start, end))
    case 4: {
      const other = pick(random, [...pick(random, seeds)().values()])
      return replace(bytes, start, end, other.subarray(...range(random, other)))
    }
    case 5:
      return replace(bytes, start, start, Buffer.alloc(random(300), random(256)))
    default:
      return overwrite(random, bytes, start)
  }
}

/** Puts another number, string or bracket into JSON. */
function damageJson(random: Random, json: string): string {
  const tokens = [...json.matchAll(/-?[0-9][0-9.e]*|"(?:[^"\\]|\\.)*"|[{}[\],:]/g)]
  if (tokens.length === 0) return json
  const token = pick(random, tokens)
  const other = pick(random, tokens)[0]
  const choices = [other, '', pick(random, openings), `${token[0]},${other}`, token[0] + token[0]]
  if (/[0-9]/.test(token[0].charAt(0))) choices.push(...numbers)
  if (token[0].startsWith('"')) choices.push(...texts)
  return json.slice(0, token.index) + pick(random, choices) + json.slice(token.index + token[0].length)
}

function damageHeader(random: Random, file: Buffer): Buffer {
  const length = Math.min(Number(file.readBigUInt64LE()), file.length - 8)
  const json = damageJson(random, file.toString('latin1', 8, 8 + length))
  const damaged = Buffer.concat([file.subarray(0, 8), Buffer.from(json, 'latin1'), file.subarray(8 + length)])
  if (random(8) !== 0) damaged.writeBigUInt64LE(BigInt(json.length))
  return damaged
}

function damagePickle(random: Random, pickle: Buffer): Buffer {
  const at = 2 + random(pickle.length - 2)
  const opcode = Buffer.from([opcodes.charCodeAt(random(opcodes.length))])
  const ways = [
    () => replace(pickle, at, at + 1, opcode),
    () => replace(pickle, at, at, opcode),
    () => replace(pickle, at, at, Buffer.from(pick(random, snippets), 'latin1')),
    () => replace(pickle, at, at, pickledText(pick(random, ['0', '../0', 'a', '\u2028', 'x'.repeat(2000)]))),
    () => damage(random, pickle),
  ]
  return pick(random, ways)()
}

/** Overwrites within a record of a zip file, where every byte means something. */
function damageRecord(random: Random, file: Buffer): Buffer {
  const starts = [...file.toString('latin1').matchAll(/PK\P{L}\P{L}/gu)].map((match) => match.index)
  return starts.length === 0 ? file : overwrite(random, file, pick(random, starts) + random(56))
}

function damageFile(random: Random, name: string, file: Buffer): Buffer {
  if (name.endsWith('.json'))
    return random(4) === 0 ? damage(random, file) : Buffer.from(damageJson(random, file.toString('latin1')), 'latin1')
  if (name.endsWith('.safetensors'))
    return random(3) === 0 || file.length < 8 ? damage(random, file) : damageHeader(random, file)
  const way = random(5)
  if (way === 0) return damage(random, file)
  if (way === 1) return damageRecord(random, file)
  let pickle = damagePickle(random, pick(random, pickles))
  if (random(3) === 0 && pickle.length > 2) pickle = damagePickle(random, pickle)
  return torchOf(pickle, { zip64: random(4) === 0 })
}
