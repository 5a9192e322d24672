import type { DType } from '../graph/dtype.ts'
import { storageNames } from './write-torch.ts'

/** Files for tests, made in memory: valid ones, and ones with any field set to any value. */

export interface SafetensorsFixture {
  readonly header: unknown
  readonly data?: Uint8Array
  /** The length field, where it is not to be the header's. */
  readonly headerLength?: bigint
}

/** A safetensors file; a `header` that is a string is taken as it is. */
export function safetensorsFile({ header, data = new Uint8Array(), headerLength }: SafetensorsFixture): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(headerLength ?? BigInt(json.length))
  return Buffer.concat([length, json, data])
}

export interface ZipFixture {
  readonly name: string
  readonly data: Uint8Array
  readonly method?: number
  readonly flags?: number
  readonly localName?: string
  /** Bytes of the entry by the directory, where not those of `data`. */
  readonly length?: number
  readonly compressedLength?: number
  readonly headerOffset?: number
}

export interface ZipOptions {
  /** Sizes, offsets and counts in zip64 records, all short fields filled with ones. */
  readonly zip64?: boolean
  readonly count?: number
  readonly directoryOffset?: number
  readonly comment?: string
}

/** A zip file with the layout that torch writes: lengths only in the directory, data at multiples of 64 bytes. */
export function zipFile(entries: readonly ZipFixture[], options: ZipOptions = {}): Buffer {
  const { zip64 = false, count = entries.length, comment = '' } = options
  const parts: Buffer[] = []
  const directory: Buffer[] = []
  let position = 0
  const add = (bytes: Uint8Array) => {
    parts.push(Buffer.from(bytes))
    position += bytes.length
  }
  for (const entry of entries) {
    const name = Buffer.from(entry.name)
    const localName = Buffer.from(entry.localName ?? entry.name)
    const { data, method = 0, flags = 0x808, headerOffset = position } = entry
    const length = entry.length ?? data.length
    const padding = (64 - ((position + 30 + localName.length + 4) % 64)) % 64
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(flags, 6)
    local.writeUInt16LE(method, 8)
    local.writeUInt16LE(localName.length, 26)
    local.writeUInt16LE(4 + padding, 28)
    const extra = Buffer.alloc(4 + padding, 'Z')
    extra.write('FB', 0)
    extra.writeUInt16LE(padding, 2)

    const central = Buffer.alloc(46)
    central.writeUInt32LE(0x02014b50, 0)
    central.writeUInt16LE(flags, 8)
    central.writeUInt16LE(method, 10)
    const long = Buffer.alloc(zip64 ? 28 : 0)
    const lengths = [length, entry.compressedLength ?? length, headerOffset]
    for (const [index, at] of [24, 20, 42].entries()) {
      central.writeUInt32LE(zip64 ? 0xffffffff : lengths[index]!, at)
      if (zip64) long.writeBigUInt64LE(BigInt(lengths[index]!), 4 + 8 * index)
    }
    if (zip64) {
      long.writeUInt16LE(1, 0)
      long.writeUInt16LE(24, 2)
    }
    central.writeUInt16LE(name.length, 28)
    central.writeUInt16LE(long.length, 30)
    directory.push(central, name, long)
    for (const bytes of [local, localName, extra, data]) add(bytes)
  }
  const directoryOffset = options.directoryOffset ?? position
  const directoryBytes = Buffer.concat(directory)
  add(directoryBytes)
  if (zip64) {
    const end64 = Buffer.alloc(76)
    end64.writeUInt32LE(0x06064b50, 0)
    end64.writeBigUInt64LE(44n, 4)
    end64.writeBigUInt64LE(BigInt(count), 24)
    end64.writeBigUInt64LE(BigInt(count), 32)
    end64.writeBigUInt64LE(BigInt(directoryBytes.length), 40)
    end64.writeBigUInt64LE(BigInt(directoryOffset), 48)
    end64.writeUInt32LE(0x07064b50, 56)
    end64.writeBigUInt64LE(BigInt(position), 64)
    end64.writeUInt32LE(1, 72)
    add(end64)
  }
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(zip64 ? 0xffff : count, 8)
  end.writeUInt16LE(zip64 ? 0xffff : count, 10)
  end.writeUInt32LE(zip64 ? 0xffffffff : directoryBytes.length, 12)
  end.writeUInt32LE(zip64 ? 0xffffffff : directoryOffset, 16)
  end.writeUInt16LE(comment.length, 20)
  add(end)
  add(Buffer.from(comment))
  return Buffer.concat(parts)
}

/** A tensor of a torch file: a view of the storage `key`, row-major where no strides are given. */
export class TensorFixture {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly key: string
  readonly elements: number
  readonly offset: number
  readonly strides: readonly number[]

  constructor(dtype: DType, shape: readonly number[], key: string, view: Partial<TensorFixture> = {}) {
    this.dtype = dtype
    this.shape = shape
    this.key = key
    this.elements = view.elements ?? shape.reduce((product, size) => product * size, 1)
    this.offset = view.offset ?? 0
    this.strides =
      view.strides ?? shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1))
  }
}

export type StateFixture =
  | TensorFixture
  | null
  | boolean
  | number
  | string
  | readonly StateFixture[]
  | { readonly [key: string]: StateFixture }

/** A pickle of protocol 2, in the opcodes that torch.save writes. */
export function pickleFile(state: StateFixture): Buffer {
  return pickleOf(...pickled(state))
}

/** A pickle of any opcodes: strings are taken as latin-1 bytes. */
export function pickleOf(...opcodes: readonly (string | number | Uint8Array)[]): Buffer {
  const parts = ['\x80\x02', ...opcodes, '.'].map((part) =>
    typeof part === 'string' ? Buffer.from(part, 'latin1') : typeof part === 'number' ? Buffer.from([part]) : part,
  )
  return Buffer.concat(parts)
}

/** The opcodes of a string. */
export function pickledText(text: string): Buffer {
  const bytes = Buffer.from(text)
  const opcode = Buffer.from('X\0\0\0\0', 'latin1')
  opcode.writeUInt32LE(bytes.length, 1)
  return Buffer.concat([opcode, bytes])
}

function pickled(value: StateFixture): (string | Uint8Array)[] {
  if (value === null) return ['N']
  if (typeof value === 'boolean') return [value ? '\x88' : '\x89']
  if (typeof value === 'string') return [pickledText(value)]
  if (typeof value === 'number') return [pickledNumber(value)]
  if (value instanceof TensorFixture) {
    const { dtype, shape, key, elements, offset, strides } = value
    return [
      'ctorch._utils\n_rebuild_tensor_v2\n((',
      pickledText('storage'),
      `ctorch\n${storageNames[dtype]}\n`,
      pickledText(key),
      pickledText('cpu'),
      pickledNumber(elements),
      'tQ',
      pickledNumber(offset),
      '(',
      ...shape.map(pickledNumber),
      't(',
      ...strides.map(pickledNumber),
      't\x89ccollections\nOrderedDict\n)RtR',
    ]
  }
  if (isList(value)) return [']q\x01(', ...value.flatMap(pickled), 'e']
  const items = Object.entries(value).flatMap(([key, item]) => [pickledText(key), ...pickled(item)])
  return ['ccollections\nOrderedDict\nq\x00)R(', ...items, 'u}', pickledText('_metadata'), 'h\x00)Rsb']
}

function isList(value: StateFixture): value is readonly StateFixture[] {
  return Array.isArray(value)
}

function pickledNumber(value: number): Buffer {
  if (!Number.isInteger(value)) {
    const float = Buffer.alloc(8)
    float.writeDoubleBE(value)
    return Buffer.concat([Buffer.from('G'), float])
  }
  const long = Buffer.alloc(8)
  long.writeBigInt64LE(BigInt(value))
  const isShort = Math.abs(value) < 2 ** 31
  return Buffer.concat([Buffer.from(isShort ? 'J' : '\x8a\x08', 'latin1'), isShort ? long.subarray(0, 4) : long])
}

export interface TorchFixture {
  readonly pickle: Uint8Array
  readonly storages: Readonly<Record<string, Uint8Array>>
  readonly byteOrder?: string
  readonly others?: readonly ZipFixture[]
}

/** The zip entries of a file of torch.save. */
export function torchEntries({ pickle, storages, byteOrder = 'little', others = [] }: TorchFixture): ZipFixture[] {
  return [
    { name: 'model/data.pkl', data: pickle },
    { name: 'model/byteorder', data: Buffer.from(byteOrder) },
    ...Object.entries(storages).map(([key, data]) => ({ name: `model/data/${key}`, data })),
    ...others,
    { name: 'model/version', data: Buffer.from('3\n') },
  ]
}

export function torchFile(fixture: TorchFixture, options: ZipOptions = {}): Buffer {
  return zipFile(torchEntries(fixture), options)
}
