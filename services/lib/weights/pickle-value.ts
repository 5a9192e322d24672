import type { DType } from '../graph/dtype.ts'
import { quote } from './tensor-entry.ts'

/** What a pickle of a state dict can hold. Ints that are no safe integers are bigints; floats are told apart from ints. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | { readonly kind: 'float'; readonly value: number }
  | PickleDict
  | { readonly kind: 'list' | 'tuple'; readonly items: PickleValue[] }
  | { readonly kind: 'global'; readonly name: GlobalName }
  | PickleStorage
  | PickleTensor

export interface PickleDict {
  readonly kind: 'dict'
  readonly items: Map<string | number, PickleValue>
}

/** Bytes that tensors view; `key` names the zip entry under `data/` that holds them. */
export interface PickleStorage {
  readonly kind: 'storage'
  readonly dtype: DType
  readonly key: string
  readonly elements: number
}

/** `offset` and `strides` count elements. */
export interface PickleTensor {
  readonly kind: 'tensor'
  readonly storage: PickleStorage
  readonly offset: number
  readonly shape: readonly number[]
  readonly strides: readonly number[]
}

export type GlobalName = keyof typeof callables | keyof typeof storages

const callables = {
  'collections.OrderedDict': newOrderedDict,
  'torch._utils._rebuild_tensor_v2': rebuildTensor,
  'torch._utils._rebuild_parameter': rebuildParameter,
} as const satisfies Readonly<Record<string, (args: readonly PickleValue[]) => PickleValue | undefined>>

const storages = {
  'torch.DoubleStorage': 'float64',
  'torch.FloatStorage': 'float32',
  'torch.HalfStorage': 'float16',
  'torch.BFloat16Storage': 'bfloat16',
  'torch.LongStorage': 'int64',
  'torch.IntStorage': 'int32',
  'torch.ShortStorage': 'int16',
  'torch.CharStorage': 'int8',
  'torch.ByteStorage': 'uint8',
  'torch.BoolStorage': 'bool',
} as const satisfies Readonly<Record<string, DType>>

/** Everything that a pickle may refer to. None of it is code of the file's choice. */
export function isGlobalName(name: string): name is GlobalName {
  return Object.hasOwn(callables, name) || isStorageName(name)
}

/** What `callee(*args)` makes, or undefined where that is not allowed. */
export function callGlobal(callee: PickleValue, args: PickleValue): PickleValue | undefined {
  if (!isKind(callee, 'global') || !isKind(args, 'tuple') || isStorageName(callee.name)) return undefined
  return callables[callee.name](args.items)
}

/** The storage that a persistent id stands for: ('storage', type, key, device, number of elements). */
export function storageOf(id: PickleValue): PickleStorage | undefined {
  if (!isKind(id, 'tuple') || id.items.length !== 5) return undefined
  const [tag, type, key, , elements] = id.items
  if (tag !== 'storage' || !isKind(type, 'global') || !isStorageName(type.name)) return undefined
  if (typeof key !== 'string' || !/^[\w-]{1,64}$/.test(key) || !isSize(elements)) return undefined
  return { kind: 'storage', dtype: storages[type.name], key, elements }
}

export function isKind<Kind extends 'dict' | 'list' | 'tuple' | 'global' | 'storage' | 'tensor'>(
  value: PickleValue | undefined,
  kind: Kind,
): value is Extract<PickleValue, { readonly kind: Kind | 'list' | 'tuple' }> & { readonly kind: Kind } {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind
}

/** The value in a few words, for messages. */
export function show(value: PickleValue): string {
  if (value === null) return 'None'
  if (typeof value === 'string') return quote(value)
  if (value instanceof Uint8Array) return `bytes (${value.length})`
  if (typeof value !== 'object') return String(value).slice(0, 40)
  switch (value.kind) {
    case 'float':
      return String(value.value)
    case 'global':
      return `'${value.name}'`
    case 'list':
    case 'tuple':
      return `a ${value.kind} of ${value.items.length}`
    default:
      return `a ${value.kind}`
  }
}

function newOrderedDict(args: readonly PickleValue[]): PickleDict | undefined {
  return args.length === 0 ? { kind: 'dict', items: new Map() } : undefined
}

/** (storage, offset, size, stride, requires_grad, hooks); a seventh holds flags, such as a negation yet to be done. */
function rebuildTensor(args: readonly PickleValue[]): PickleTensor | undefined {
  if (args.length !== 6) return undefined
  const [storage, offset, size, stride] = args
  const shape = sizesOf(size)
  const strides = sizesOf(stride)
  if (!isKind(storage, 'storage') || !isSize(offset) || !shape || shape.length !== strides?.length) return undefined
  return { kind: 'tensor', storage, offset, shape, strides }
}

/** (tensor, requires_grad, hooks) */
function rebuildParameter(args: readonly PickleValue[]): PickleTensor | undefined {
  return args.length === 3 && isKind(args[0], 'tensor') ? args[0] : undefined
}

function isStorageName(name: string): name is keyof typeof storages {
  return Object.hasOwn(storages, name)
}

function isSize(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && value >= 0
}

function sizesOf(value: PickleValue | undefined): number[] | undefined {
  return isKind(value, 'tuple') && value.items.every(isSize) ? value.items : undefined
}
