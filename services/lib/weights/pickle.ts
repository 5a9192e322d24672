import { callGlobal, isGlobalName, isKind, type PickleValue, show, storageOf } from './pickle-value.ts'
import { CheckpointError, quote } from './tensor-entry.ts'

/** Room for some 90,000 tensors, each of which takes about 250 bytes and 11 objects. */
export const maxPickleLength = 32 * 2 ** 20
const maxObjects = 1_000_000
const maxStack = 1_000_000
const maxMemo = 1_000_000
const maxStringLength = 65_536

/**
 * Runs the pickle of a torch file on a closed machine: protocols 2 to 5, plain values, dicts, lists, tuples, and the few
 * names of pickle-value.ts; no other class or function exists. Throws a CheckpointError that names anything else, and for
 * more than 32 MiB, a million objects, elements of lists, memo or stack slots, or a string of more than 64 KiB.
 * Opcodes: https://github.com/python/cpython/blob/main/Lib/pickletools.py
 */
export function readPickle(path: string, bytes: Uint8Array): PickleValue {
  const stack: PickleValue[] = []
  const marks: number[] = []
  const memo = new Map<number, PickleValue>()
  let objects = 0
  let elements = 0
  let opcodeAt = 0

  const fail = (problem: string): never => {
    throw new CheckpointError(path, `data.pkl, byte ${opcodeAt}: ${problem}`)
  }
  if (bytes.length > maxPickleLength)
    fail(`the pickle has ${bytes.length} bytes; at most ${maxPickleLength} are allowed`)
  const input = scan(bytes, fail)

  // The stack: nothing below the last mark may be touched.
  const push = (value: PickleValue) => {
    if (stack.length === maxStack) fail(`more than ${maxStack} values on the stack`)
    stack.push(value)
  }
  const create = (value: PickleValue) => {
    if (++objects > maxObjects) fail(`more than ${maxObjects} objects`)
    push(value)
  }
  const top = (): PickleValue => {
    const value = stack.length > (marks.at(-1) ?? 0) ? stack.at(-1) : undefined
    return value === undefined ? fail('the stack is empty') : value
  }
  const pop = (): PickleValue => {
    const value = top()
    stack.pop()
    return value
  }
  const mark = () => {
    if (marks.length === maxStack) fail(`more than ${maxStack} marks`)
    marks.push(stack.length)
  }
  const popToMark = () => stack.splice(marks.pop() ?? fail('no mark is set'))
  const popSeveral = (count: number) => Array.from({ length: count }, pop).reverse()

  const newTuple = (items: PickleValue[]) => create({ kind: 'tuple', items })
  const append = (items: readonly PickleValue[]) => {
    const list = top()
    if (!isKind(list, 'list')) return fail(`${show(list)} is given elements; a list is allowed`)
    elements += items.length
    if (elements > maxObjects) fail(`more than ${maxObjects} elements of lists`)
    for (const item of items) list.items.push(item)
  }
  const setItems = (pairs: readonly PickleValue[]) => {
    const dict = top()
    if (!isKind(dict, 'dict')) return fail(`${show(dict)} is given keys; a dict is allowed`)
    if (pairs.length % 2 !== 0) fail('the last key has no value')
    for (let index = 0; index < pairs.length; index += 2) {
      const key = pairs[index] ?? null
      if (typeof key !== 'string' && typeof key !== 'number')
        return fail(`a key is ${show(key)}; str and int are allowed`)
      if (dict.items.has(key)) fail(`a dict has the key ${show(key)} twice`)
      dict.items.set(key, pairs[index + 1] ?? null)
    }
  }
  const remember = (slot: number) => {
    memo.set(slot, top())
    if (memo.size > maxMemo) fail(`more than ${maxMemo} memo slots`)
  }
  const recall = (slot: number) => {
    const value = memo.get(slot)
    push(value === undefined ? fail(`memo slot ${slot} is empty`) : value)
  }

  const pushGlobal = (module: PickleValue, member: PickleValue) => {
    const name = `${typeof module === 'string' ? module : show(module)}.${typeof member === 'string' ? member : show(member)}`
    if (!isGlobalName(name)) return fail(`refers to ${quote(name)}; tensors, dicts, lists and plain values are allowed`)
    push({ kind: 'global', name })
  }
  const stackGlobal = () => {
    const [module = null, member = null] = popSeveral(2)
    pushGlobal(module, member)
  }
  const call = () => {
    const [callee = null, args = null] = popSeveral(2)
    const result = callGlobal(callee, args)
    if (result === undefined) {
      const shown = isKind(args, 'tuple') ? args.items.slice(0, 7).map(show).join(', ') : show(args)
      return fail(`calls ${show(callee)} with (${shown}), which is not allowed`)
    }
    create(result)
  }
  const loadStorage = () => {
    const id = pop()
    const shown = isKind(id, 'tuple') ? id.items.slice(0, 5).map(show).join(', ') : show(id)
    create(storageOf(id) ?? fail(`(${shown}) stands for no storage`))
  }
  const setState = () => {
    // torch sets `_metadata`, the versions of its modules, on the OrderedDict of a state dict.
    const [target = null, state = null] = popSeveral(2)
    if (!isKind(target, 'dict') || !isKind(state, 'dict')) fail(`${show(target)} is given the state ${show(state)}`)
    push(target)
  }

  const run = new Map<number, () => void>([
    [0x80, () => input.protocol()],
    [0x95, () => input.frame()],
    [0x28, mark], // (
    [0x30, pop], // 0
    [0x31, popToMark], // 1
    [0x4e, () => push(null)], // N
    [0x88, () => push(true)],
    [0x89, () => push(false)],
    [0x4b, () => push(input.uint8())], // K
    [0x4d, () => push(input.uint16())], // M
    [0x4a, () => push(input.int32())], // J
    [0x47, () => create({ kind: 'float', value: input.float64() })], // G
    [0x8a, () => push(signedInteger(input.bytes(input.uint8())))], // LONG1
    [0x8c, () => create(input.text(input.uint8()))], // SHORT_BINUNICODE
    [0x58, () => create(input.text(input.uint32()))], // X
    [0x8d, () => create(input.text(input.uint64()))], // BINUNICODE8
    [0x43, () => create(input.bytes(input.uint8()))], // C
    [0x42, () => create(input.bytes(input.uint32()))], // B
    [0x8e, () => create(input.bytes(input.uint64()))], // BINBYTES8
    [0x5d, () => create({ kind: 'list', items: [] })], // ]
    [0x61, () => append(popSeveral(1))], // a
    [0x65, () => append(popToMark())], // e
    [0x29, () => newTuple([])], // )
    [0x74, () => newTuple(popToMark())], // t
    [0x85, () => newTuple(popSeveral(1))], // TUPLE1
    [0x86, () => newTuple(popSeveral(2))], // TUPLE2
    [0x87, () => newTuple(popSeveral(3))], // TUPLE3
    [0x7d, () => create({ kind: 'dict', items: new Map() })], // }
    [0x73, () => setItems(popSeveral(2))], // s
    [0x75, () => setItems(popToMark())], // u
    [0x71, () => remember(input.uint8())], // q
    [0x72, () => remember(input.uint32())], // r
    [0x94, () => remember(memo.size)], // MEMOIZE
    [0x68, () => recall(input.uint8())], // h
    [0x6a, () => recall(input.uint32())], // j
    [0x63, () => pushGlobal(input.line(), input.line())], // c
    [0x93, stackGlobal],
    [0x51, loadStorage], // Q
    [0x52, call], // R
    [0x62, setState], // b
  ])
  const stop = 0x2e
  for (let opcode = input.uint8(); opcode !== stop; opcode = input.uint8()) {
    const action =
      run.get(opcode) ?? fail(`opcode 0x${opcode.toString(16).padStart(2, '0')} is not allowed in a state dict`)
    action()
    opcodeAt = input.position()
  }
  const result = pop()
  if (stack.length > 0 || marks.length > 0) fail('values are left on the stack at the end')
  if (input.position() !== bytes.length) fail(`${bytes.length - input.position()} bytes follow the end of the pickle`)
  return result
}

/** Reads the opcodes' arguments, each of which must lie within the pickle. */
function scan(pickle: Uint8Array, fail: (problem: string) => never) {
  const view = new DataView(pickle.buffer, pickle.byteOffset, pickle.byteLength)
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  let position = 0
  const advance = (length: number): number => {
    const start = position
    if (length > pickle.length - start)
      fail(`is truncated: ${length} bytes are needed, ${pickle.length - start} are left`)
    position += length
    return start
  }
  const bytes = (length: number): Uint8Array => {
    if (length > maxStringLength) fail(`a string of ${length} bytes; at most ${maxStringLength} are allowed`)
    const start = advance(length)
    return pickle.subarray(start, start + length)
  }
  const text = (length: number): string => {
    const raw = bytes(length)
    try {
      return utf8.decode(raw)
    } catch {
      return fail('a string is not UTF-8')
    }
  }
  const uint8 = () => view.getUint8(advance(1))
  const uint64 = () => Number(view.getBigUint64(advance(8), true))
  return {
    bytes,
    text,
    uint8,
    uint64,
    position: () => position,
    uint16: () => view.getUint16(advance(2), true),
    uint32: () => view.getUint32(advance(4), true),
    int32: () => view.getInt32(advance(4), true),
    float64: () => view.getFloat64(advance(8), false),
    line(): string {
      const length = pickle.subarray(position, position + 256).indexOf(0x0a)
      const name = length < 0 ? fail('a name does not end within 256 bytes') : text(length)
      advance(1)
      return name
    },
    protocol() {
      const version = uint8()
      if (version < 2 || version > 5) fail(`pickle protocol ${version}; 2 to 5 are allowed`)
    },
    frame() {
      const length = uint64()
      const left = pickle.length - position
      if (length > left) fail(`a frame of ${length} bytes, ${left} are left`)
    },
  }
}

/** Little-endian two's complement. */
function signedInteger(bytes: Uint8Array): number | bigint {
  let value = 0n
  for (const byte of bytes.toReversed()) value = (value << 8n) | BigInt(byte)
  value = BigInt.asIntN(bytes.length * 8, value)
  const small = Number(value)
  return Number.isSafeInteger(small) ? small : value
}
