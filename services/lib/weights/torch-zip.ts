import { resolve } from 'node:path'
import { bytesPerElement } from '../graph/dtype.ts'
import type { ByteSource } from './byte-source.ts'
import { maxPickleLength, readPickle } from './pickle.ts'
import { isKind, type PickleTensor, type PickleValue, show } from './pickle-value.ts'
import {
  type Checkpoint,
  CheckpointError,
  maxNameLength,
  maxRank,
  maxTensors,
  quote,
  type TensorEntry,
  tensorByteLength,
} from './tensor-entry.ts'
import { readZip, type ZipEntry } from './zip.ts'

const maxNesting = 32
const maxLeaves = 1_000_000

/**
 * Reads where the tensors of a file of `torch.save` lie (the zip format, torch 1.6 and later). Dicts and lists in dicts
 * become names with dots; values that are no tensors are left out. Throws a CheckpointError for whatever readZip and
 * readPickle refuse, for tensors outside their storage, and for tensors whose elements don't lie in row-major order.
 * https://docs.pytorch.org/docs/stable/notes/serialization.html
 */
export function readTorchZipFrom(source: ByteSource): Checkpoint {
  const { path } = source
  checkMagic(source)
  const entries = readZip(source)
  const { folder, pickle } = findState(path, entries)
  const byteOrder = entries.get(`${folder}/byteorder`)
  if (byteOrder !== undefined) {
    const order = new TextDecoder().decode(source.read(byteOrder.offset, Math.min(byteOrder.length, 16)))
    if (order !== 'little') throw new CheckpointError(path, `has the byte order ${quote(order)}; 'little' is allowed`)
  }
  if (pickle.length > maxPickleLength)
    throw new CheckpointError(path, `data.pkl has ${pickle.length} bytes; at most ${maxPickleLength} are allowed`)
  const root = readPickle(path, source.read(pickle.offset, pickle.length))
  if (!isKind(root, 'dict')) throw new CheckpointError(path, `holds ${show(root)}; a dict of tensors is allowed`)

  const file = resolve(path)
  const tensors = new Map<string, TensorEntry>()
  for (const [name, tensor] of flatten(path, root)) {
    if (tensors.has(name)) throw new CheckpointError(path, `two tensors are named ${quote(name)}`)
    if (tensors.size === maxTensors) throw new CheckpointError(path, `has more than ${maxTensors} tensors`)
    tensors.set(name, place(path, file, name, tensor, entries.get(`${folder}/data/${tensor.storage.key}`)))
  }
  return { source: path, tensors }
}

function checkMagic({ path, size, read }: ByteSource): void {
  const [first, second] = read(0, Math.min(size, 2))
  // Before torch 1.6 a file was a row of bare pickles, with the tensors' bytes behind them.
  if (first === 0x80)
    throw new CheckpointError(
      path,
      'is in the format that torch used before 1.6, or a bare pickle; load it in Python and save it again with torch.save',
    )
  if (first !== 0x50 || second !== 0x4b)
    throw new CheckpointError(path, 'is no checkpoint: *.safetensors, *.index.json and the zip files of torch.save are')
}

/** The pickle and its folder, the archive's only one, which is named after the file when it was saved. */
function findState(path: string, entries: ReadonlyMap<string, ZipEntry>): { folder: string; pickle: ZipEntry } {
  const pickles = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name))
  const [pickle] = pickles
  if (pickle === undefined || pickles.length > 1)
    throw new CheckpointError(path, `is no file of torch.save: it has ${pickles.length} entries '<folder>/data.pkl'`)
  const folder = pickle.name.slice(0, -'/data.pkl'.length)
  if (entries.has(`${folder}/constants.pkl`))
    throw new CheckpointError(path, 'is a TorchScript program; a dict of tensors, saved by torch.save, is allowed')
  return { folder, pickle }
}

function* flatten(path: string, root: PickleValue): Generator<[string, PickleTensor]> {
  let leaves = 0
  function* visit(value: PickleValue, name: string, depth: number): Generator<[string, PickleTensor]> {
    // A dict that was memoised may hold itself, or the same dict over and over.
    if (depth > maxNesting) throw new CheckpointError(path, `${quote(name)} is nested deeper than ${maxNesting} levels`)
    if (isKind(value, 'tensor')) {
      if (name.length > maxNameLength)
        throw new CheckpointError(path, `a name has ${name.length} characters; at most ${maxNameLength} are allowed`)
      yield [name, value]
    } else if (isKind(value, 'dict') || isKind(value, 'list') || isKind(value, 'tuple')) {
      for (const [key, item] of value.items.entries()) {
        if (++leaves > maxLeaves) throw new CheckpointError(path, `holds more than ${maxLeaves} values`)
        if (typeof item === 'object') yield* visit(item, depth === 0 ? `${key}` : `${name}.${key}`, depth + 1)
      }
    }
  }
  yield* visit(root, '', 0)
}

function place(
  path: string,
  file: string,
  name: string,
  tensor: PickleTensor,
  entry: ZipEntry | undefined,
): TensorEntry {
  const { storage, shape, strides } = tensor
  const { dtype } = storage
  const fail = (problem: string): never => {
    throw new CheckpointError(path, `tensor ${quote(name)} ${problem}`)
  }
  if (entry === undefined) return fail(`lies in the entry 'data/${storage.key}', which is missing`)
  const held = storage.elements * bytesPerElement[dtype]
  if (held > entry.length)
    fail(
      `lies in a storage of ${storage.elements} × ${dtype}; its entry 'data/${storage.key}' has ${entry.length} bytes`,
    )
  if (shape.length > maxRank) fail(`has ${shape.length} axes; at most ${maxRank} are allowed`)
  if (!isRowMajor(shape, strides))
    fail(
      `[${shape.join(', ')}] has the strides [${strides.join(', ')}]: it is not contiguous; save it with .contiguous()`,
    )
  const start = tensor.offset * bytesPerElement[dtype]
  const length = tensorByteLength(dtype, shape)
  if (start + length > held) fail(`ends at byte ${start + length} of its storage, which has ${held}`)
  return { name, dtype, shape, file, offset: entry.offset + start, length }
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true
  let expected = 1
  return shape.every((_, index) => {
    const axis = shape.length - 1 - index
    const size = shape[axis] ?? 1
    const contiguous = size === 1 || strides[axis] === expected
    expected *= size
    return contiguous
  })
}
