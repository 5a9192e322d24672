import { reshape } from '../graph/ops/layout.ts'
import { matmul } from '../graph/ops/matrix.ts'
import { constant, type Value } from '../graph/value.ts'

/** The weights of a 3×3 convolution whose kernels are to be rewritten. */
export interface Kernels3x3 {
  /** Stored weight, seen as [out · channels, 9]. */
  readonly taps: Value
  /** [out], or null. */
  readonly bias: Value | null
  readonly out: number
  readonly channels: number
}

/**
 * Linear combinations of the taps: → [out, channels, height, width]. `weight` says how much of the stored tap (down,
 * across) the tap (row, column) of the result has. A product of constants, which is computed once, at load.
 */
export function mixKernels(
  { taps, out, channels }: Kernels3x3,
  [height, width]: readonly [number, number],
  weight: (down: number, across: number, row: number, column: number) => number,
): Value {
  const count = height * width
  const mixture = Array.from({ length: 9 * count }, (_, index) => {
    const [stored, tap] = [Math.floor(index / count), index % count]
    return weight(Math.floor(stored / 3), stored % 3, Math.floor(tap / width), tap % width)
  })
  return reshape(matmul(taps, constant('float32', [9, count], mixture)), [out, channels, height, width])
}
