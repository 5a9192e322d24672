import { cast } from '../graph/ops/elementwise.ts'
import { external, type Value } from '../graph/value.ts'
import { type Checkpoint, CheckpointError, type TensorEntry } from './tensor-entry.ts'

/**
 * A place inside a checkpoint, from which a network's definition takes its tensors by the checkpoint's own names.
 * Nothing is read or copied: a tensor becomes a graph value that points into its file. Every tensor is taken once.
 */
export class Weights {
  /** Where this scope stands, e.g. `down_blocks.0.resnets.1`; '' at the root. */
  readonly path: string
  /** The precision that the network computes in; stored tensors of another one are cast (folded once, at load). */
  readonly compute: 'float32' | 'float16'
  readonly #checkpoint: Checkpoint
  readonly #claimed: Set<string>

  constructor(
    checkpoint: Checkpoint,
    compute: 'float32' | 'float16' = 'float32',
    path = '',
    claimed: Set<string> = new Set(),
  ) {
    this.#checkpoint = checkpoint
    this.compute = compute
    this.path = path
    this.#claimed = claimed
  }

  /** The scope below `name`, which may hold dots. */
  at(name: string | number): Weights {
    return new Weights(this.#checkpoint, this.compute, this.#full(String(name)), this.#claimed)
  }

  /** Whether the checkpoint has this tensor; for layouts that were published in two spellings. */
  has(name: string): boolean {
    return this.#checkpoint.tensors.has(this.#full(name))
  }

  /**
   * Takes a tensor, in the precision that is computed in. `as` is another shape over the same elements, for a free
   * view (a 1×1 convolution's weight as a matrix). Throws a CheckpointError when the tensor is missing, has another
   * shape, or was taken before.
   */
  tensor(name: string, shape: readonly number[], as: readonly number[] = shape): Value {
    return cast(this.stored(name, shape, as), this.compute)
  }

  /** Like `tensor`, in the precision in which it is stored: for tables that only a few rows are read from. */
  stored(name: string, shape: readonly number[], as: readonly number[] = shape): Value {
    const entry = this.#claim(name, shape)
    return external(entry.name, entry.dtype, as, entry)
  }

  /**
   * Takes a tensor in equal parts along its first axis, each a view of its own: a projection to several things at
   * once is then several projections, and nothing has to be split when it runs.
   */
  parts(name: string, shape: readonly number[], count: number): Value[] {
    const entry = this.#claim(name, shape)
    const [rows, ...rest] = shape
    if (rows === undefined || rows % count !== 0) {
      throw new CheckpointError(
        entry.file,
        `tensor '${entry.name}' has ${rows} rows, which ${count} parts do not divide`,
      )
    }
    const length = entry.length / count
    return Array.from({ length: count }, (_, part) => {
      const data = { file: entry.file, offset: entry.offset + part * length, length }
      return cast(external(`${entry.name}[${part}]`, entry.dtype, [rows / count, ...rest], data), this.compute)
    })
  }

  /** All tensors of the checkpoint, and those of them that were taken, also from outside this scope. */
  get account(): { readonly all: Checkpoint; readonly taken: ReadonlySet<string> } {
    return { all: this.#checkpoint, taken: this.#claimed }
  }

  /** Names below this scope that nobody has taken, sorted. */
  unclaimed(): string[] {
    const prefix = this.path === '' ? '' : `${this.path}.`
    const names = [...this.#checkpoint.tensors.keys()]
    return names.filter((name) => name.startsWith(prefix) && !this.#claimed.has(name)).sort()
  }

  /**
   * Throws a CheckpointError when a tensor below this scope was not taken and matches none of `allowed`: a
   * checkpoint that holds more than its network uses is another network's.
   */
  finish(allowed: readonly RegExp[] = []): void {
    const left = this.unclaimed().filter((name) => !allowed.some((pattern) => pattern.test(name)))
    if (left.length === 0) return
    const shown = left.slice(0, 3).map((name) => `'${name}'`)
    const more = left.length > 3 ? ` and ${left.length - 3} more` : ''
    throw new CheckpointError(
      this.#checkpoint.source,
      `the network has no place for the tensors ${shown.join(', ')}${more}`,
    )
  }

  #claim(name: string, shape: readonly number[]): TensorEntry {
    const full = this.#full(name)
    const entry = this.#checkpoint.tensors.get(full)
    if (!entry) throw new CheckpointError(this.#checkpoint.source, `tensor '${full}' is missing`)
    if (entry.shape.length !== shape.length || entry.shape.some((size, axis) => size !== shape[axis])) {
      throw new CheckpointError(
        entry.file,
        `tensor '${full}' has shape [${entry.shape.join(', ')}], the network expects [${shape.join(', ')}]`,
      )
    }
    if (this.#claimed.has(full)) throw new CheckpointError(entry.file, `tensor '${full}' is taken twice`)
    this.#claimed.add(full)
    return entry
  }

  #full(name: string): string {
    return this.path === '' ? name : `${this.path}.${name}`
  }
}
