import { dirname, join } from 'node:path'
import { type ByteSource, withFile } from './byte-source.ts'
import { scanJson } from './json-scanner.ts'
import { readSafetensorsFrom } from './safetensors.ts'
import { type Checkpoint, CheckpointError, maxTensors, quote, type TensorEntry } from './tensor-entry.ts'
import { readTorchZipFrom } from './torch-zip.ts'

const maxIndexLength = 16 * 2 ** 20
const maxShards = 1024

/**
 * Opens a checkpoint by its name: `*.safetensors`, `*.index.json` (shards in the same folder), anything else as a file of
 * torch.save (`.bin`, `.th`, `.pt`, `.pth`). No tensor's data is read. Throws a CheckpointError for whatever is wrong.
 */
export function openCheckpoint(path: string): Checkpoint {
  return withFile(path, (source) => readCheckpoint(source, (name) => openCheckpoint(join(dirname(path), name))))
}

/** Like openCheckpoint over any bytes; `openShard` opens the shards that an index names. */
export function readCheckpoint(source: ByteSource, openShard: (name: string) => Checkpoint): Checkpoint {
  if (source.path.endsWith('.safetensors')) return readSafetensorsFrom(source)
  if (source.path.endsWith('.index.json')) return readIndex(source, openShard)
  return readTorchZipFrom(source)
}

/** A tensor's bytes, little-endian and row-major. */
export function readTensor(entry: TensorEntry): Uint8Array<ArrayBuffer> {
  return readTensorRange(entry, 0, entry.length)
}

/** `length` of a tensor's bytes, from its byte `start`. */
export function readTensorRange(entry: TensorEntry, start: number, length: number): Uint8Array<ArrayBuffer> {
  if (start < 0 || length < 0 || start + length > entry.length)
    throw new CheckpointError(
      entry.file,
      `tensor ${quote(entry.name)} has ${entry.length} bytes; bytes ${start} to ${start + length} are asked for`,
    )
  return withFile(entry.file, (source) => source.read(entry.offset + start, length))
}

/** `{ "metadata": …, "weight_map": { tensor: shard } }`, as transformers and diffusers write it. */
function readIndex(source: ByteSource, openShard: (name: string) => Checkpoint): Checkpoint {
  const { path, size } = source
  if (size > maxIndexLength)
    throw new CheckpointError(path, `the index has ${size} bytes; at most ${maxIndexLength} are allowed`)
  const shardOf = readWeightMap(path, source.read(0, size))
  const shards = new Map<string, Checkpoint>()
  const tensors = new Map<string, TensorEntry>()
  for (const [name, shardName] of shardOf) {
    let shard = shards.get(shardName)
    if (shard === undefined) {
      checkShardName(path, shardName)
      if (shards.size === maxShards) throw new CheckpointError(path, `names more than ${maxShards} shards`)
      shard = openShard(shardName)
      shards.set(shardName, shard)
    }
    const entry = shard.tensors.get(name)
    if (entry === undefined)
      throw new CheckpointError(path, `says that ${quote(shardName)} holds tensor ${quote(name)}, which it doesn't`)
    tensors.set(name, entry)
  }
  return { source: path, tensors }
}

function readWeightMap(path: string, bytes: Uint8Array): ReadonlyMap<string, string> {
  let shardOf: Map<string, string> | undefined
  const json = scanJson(path, 'the index', bytes)
  json.object('the index', (key) => {
    if (key !== 'weight_map') return json.skip(quote(key))
    const map = new Map<string, string>()
    json.object(key, (name) => {
      if (map.size === maxTensors) throw new CheckpointError(path, `has more than ${maxTensors} tensors`)
      map.set(name, json.string(`the shard of ${quote(name)}`))
    })
    shardOf = map
  })
  json.end()
  if (shardOf === undefined) throw new CheckpointError(path, 'the index has no weight_map')
  return shardOf
}

function checkShardName(path: string, name: string): void {
  if (!/^[^/\\\p{Cc}]{1,255}$/u.test(name) || name === '.' || name === '..')
    throw new CheckpointError(path, `names the shard ${quote(name)}; names of files in the same folder are allowed`)
  if (name.endsWith('.index.json'))
    throw new CheckpointError(path, `names the index ${quote(name)} as a shard; files with tensors are allowed`)
}
