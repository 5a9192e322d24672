import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ZipFile } from 'yazl'
import type { DType } from '../graph/dtype.ts'
import { tensorByteLength } from './tensor-entry.ts'
import type { TensorData } from './write-safetensors.ts'

/** A state dict as torch nests it: tensors by name, and dicts of them. */
export interface StateDict {
  readonly [key: string]: TensorData | StateDict
}

/**
 * Writes a file of torch.save (zip format, protocol 2): tensors stored, never compressed. `path` is as it was, if it
 * was, until everything has been written.
 */
export async function writeTorch(path: string, state: StateDict): Promise<void> {
  const storages: TensorData[] = []
  const pickle = Buffer.concat([Buffer.from('\x80\x02', 'latin1'), ...pickled(state, storages), Buffer.from('.')])
  const zip = new ZipFile()
  const stored = { compress: false, mtime: new Date(0), forceDosTimestamp: true }
  zip.addBuffer(pickle, 'archive/data.pkl', stored)
  zip.addBuffer(Buffer.from('little'), 'archive/byteorder', stored)
  for (const [key, tensor] of storages.entries()) {
    const size = tensorByteLength(tensor.dtype, tensor.shape)
    zip.addReadStreamLazy(`archive/data/${key}`, { ...stored, size }, (ready) =>
      ready(null, Readable.from(tensor.chunks)),
    )
  }
  zip.addBuffer(Buffer.from('3\n'), 'archive/version', stored)
  zip.end()
  const partial = `${path}.${randomUUID()}.partial`
  try {
    await pipeline(zip.outputStream, createWriteStream(partial, { flags: 'wx' }))
    await rename(partial, path)
  } finally {
    await rm(partial, { force: true })
  }
}

/** torch's class of storage by dtype. */
export const storageNames: Readonly<Record<DType, string>> = {
  float64: 'DoubleStorage',
  float32: 'FloatStorage',
  float16: 'HalfStorage',
  bfloat16: 'BFloat16Storage',
  int64: 'LongStorage',
  int32: 'IntStorage',
  int16: 'ShortStorage',
  int8: 'CharStorage',
  uint8: 'ByteStorage',
  bool: 'BoolStorage',
}

/** Opcodes of a dict; every tensor gets a storage of its own, numbered in order. */
function pickled(state: StateDict, storages: TensorData[]): Buffer[] {
  const items = Object.entries(state).flatMap(([key, value]) => [
    text(key),
    ...(isTensor(value) ? tensor(value, storages) : pickled(value, storages)),
  ])
  return [Buffer.from('}('), ...items, Buffer.from('u')]
}

function tensor(data: TensorData, storages: TensorData[]): Buffer[] {
  const { dtype, shape } = data
  const key = storages.push(data) - 1
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((product, size) => product * size, 1))
  const opcodes = [
    'ctorch._utils\n_rebuild_tensor_v2\n((',
    text('storage'),
    `ctorch\n${storageNames[dtype]}\n`,
    text(String(key)),
    text('cpu'),
    whole(shape.reduce((product, size) => product * size, 1)),
    'tQ',
    whole(0),
    '(',
    ...shape.map(whole),
    't(',
    ...strides.map(whole),
    't\x89ccollections\nOrderedDict\n)RtR',
  ]
  return opcodes.map((opcode) => (typeof opcode === 'string' ? Buffer.from(opcode, 'latin1') : opcode))
}

function isTensor(value: TensorData | StateDict): value is TensorData {
  return 'chunks' in value && 'dtype' in value && typeof value.dtype === 'string'
}

/** BINUNICODE. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const head = Buffer.from('X\0\0\0\0', 'latin1')
  head.writeUInt32LE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** LONG1 of eight bytes: fits every size. */
function whole(value: number): Buffer {
  const bytes = Buffer.from('\x8a\x08\0\0\0\0\0\0\0\0', 'latin1')
  bytes.writeBigInt64LE(BigInt(value), 2)
  return bytes
}
