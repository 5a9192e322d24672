import { openCheckpoint } from './checkpoint.ts'
import { type Checkpoint, CheckpointError, type TensorEntry } from './tensor-entry.ts'
import { Weights } from './weights.ts'

/** Where a network's weights lie, as plain data. */
export interface WeightFiles {
  /** Absolute paths: one file, an index, or all shards. */
  readonly files: readonly string[]
  /** Where the network's tensors start inside, such as `self_cross_attentions`; '' is the root. */
  readonly prefix: string
  readonly compute: 'float32' | 'float16'
}

/** Opens the files as one checkpoint, at the network's place in it. Throws a CheckpointError for whatever is wrong. */
export function openWeights({ files, prefix, compute }: WeightFiles): Weights {
  const root = new Weights(joinCheckpoints(files.map(openCheckpoint)), compute)
  observer?.(root, files)
  return prefix === '' ? root : root.at(prefix)
}

/** Told of the root scope of what was opened, and of the files as they were named. */
type OpenObserver = (root: Weights, files: readonly string[]) => void

let observer: OpenObserver | null = null

/**
 * Runs `build`, which opens its weights itself, and tells `onOpen` of them: whoever checks a network sees what its
 * definition takes, and the definition knows nothing of it. Throws what `build` does.
 */
export function observingWeights<T>(onOpen: OpenObserver, build: () => T): T {
  observer = onOpen
  try {
    return build()
  } finally {
    observer = null
  }
}

/** Shards as one checkpoint. Throws a CheckpointError when a tensor stands in two of them. */
export function joinCheckpoints(shards: readonly Checkpoint[]): Checkpoint {
  const [first, ...others] = shards
  if (!first) throw new CheckpointError('checkpoint', 'no files are named, at least one must be')
  if (others.length === 0) return first
  const tensors = new Map<string, TensorEntry>(first.tensors)
  for (const shard of others) {
    for (const [name, entry] of shard.tensors) {
      const known = tensors.get(name)
      if (known) throw new CheckpointError(shard.source, `tensor '${name}' stands in ${known.file} too`)
      tensors.set(name, entry)
    }
  }
  return { source: `${first.source} and ${others.length} more`, tensors }
}
