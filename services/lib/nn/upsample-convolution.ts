import { conv } from '../graph/ops/convolution.ts'
import { concat, depthToSpace } from '../graph/ops/layout.ts'
import type { Value } from '../graph/value.ts'
import { type Kernels3x3, mixKernels } from './kernels.ts'

/**
 * What a tap (0, 1) of an even and of an odd row's kernel reads of the three stored ones: of the three rows around an
 * even row of the grown picture, the first is the one above in the small picture, the other two are the same one.
 */
const rowTaps: readonly (readonly (readonly number[])[])[] = [
  [[0], [1, 2]],
  [[0, 1], [2]],
]

/**
 * Nearest growth by two and a 3×3 convolution with a border of one pixel, without growing: a pixel of the grown picture
 * sees only 2×2 different ones, so that each of its four places in a square is a 2×2 convolution of the small
 * picture, four multiplications instead of nine. x [B, C, H, W] → [B, out, 2H, 2W]. The kernels' sums are computed
 * once, at load, and take 16/9 of their memory.
 */
export function phaseConvolutions(x: Value, kernels: Kernels3x3): Value {
  const places = [0, 1].flatMap((down) => [0, 1].map((across) => [down, across] as const))
  const grown = places.map(([down, across]) => {
    const kernel = mixKernels(kernels, [2, 2], (storedDown, storedAcross, row, column) =>
      reads(down, row, storedDown) && reads(across, column, storedAcross) ? 1 : 0,
    )
    return conv(x, kernel, kernels.bias, { pad: [1 - down, 1 - across, down, across] })
  })
  return depthToSpace(concat(grown, 1), 2)
}

function reads(parity: number, tap: number, stored: number): boolean {
  return rowTaps[parity]![tap]!.includes(stored)
}
