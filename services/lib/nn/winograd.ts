import { dividesDim, multiplyDims } from '../graph/dimension.ts'
import { conv } from '../graph/ops/convolution.ts'
import { concat, reshape, transpose } from '../graph/ops/layout.ts'
import { matmul } from '../graph/ops/matrix.ts'
import { constant, type Value } from '../graph/value.ts'
import { type Kernels3x3, mixKernels } from './kernels.ts'

/**
 * Winograd's minimal filtering F(m, 3) (Lavin & Gray 2016, Fast Algorithms for Convolutional Neural Networks, §4):
 * m results of a filter of three taps with m + 2 multiplications instead of 3m. In their notation:
 * y = Aᵀ[(G g) ⊙ (Bᵀ d)], d the m + 2 inputs, g the filter.
 */
export interface MinimalFilter {
  readonly rows: 2 | 4
  /** Bᵀ [m + 2, m + 2]. */
  readonly input: readonly (readonly number[])[]
  /** G [m + 2, 3]. */
  readonly kernel: readonly (readonly number[])[]
  /** Aᵀ [m, m + 2]; its second column is all ones. */
  readonly output: readonly (readonly number[])[]
}

const twoRows: MinimalFilter = {
  rows: 2,
  input: [
    [1, 0, -1, 0],
    [0, 1, 1, 0],
    [0, -1, 1, 0],
    [0, 1, 0, -1],
  ],
  kernel: [
    [1, 0, 0],
    [1 / 2, 1 / 2, 1 / 2],
    [1 / 2, -1 / 2, 1 / 2],
    [0, 0, 1],
  ],
  output: [
    [1, 1, 1, 0],
    [0, 1, -1, -1],
  ],
}

const fourRows: MinimalFilter = {
  rows: 4,
  input: [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
  ],
  kernel: [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
  ],
  output: [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
  ],
}

/**
 * The filter with the fewest multiplications whose rows divide the height of x [B, C, H, W], whatever size an open
 * height has when the graph runs: a half of them with four rows, two thirds with two. null where the height may be odd.
 */
export function minimalFilterFor(x: Value): MinimalFilter | null {
  const height = x.shape[2]!
  return [fourRows, twoRows].find(({ rows }) => dividesDim(height, rows)) ?? null
}

/**
 * A 3×3 convolution with a border of one pixel, as minimal filters down the height and plain along the width:
 * x [B, C, H, W] with H in whole `filter.rows` → [B, out, H, W].
 * The kernels are transformed once, at load, and then take (m + 2)/3 of their memory.
 */
export function minimalConv3x3(x: Value, kernels: Kernels3x3, filter: MinimalFilter): Value {
  const [batch, , height, width] = x.shape
  const { bias, out, channels } = kernels
  const { rows, input, kernel, output } = filter
  const taps = rows + 2

  // d → Bᵀ d as strided depthwise convolutions, which stay in the runtime's own layout of convolutions.
  const products = input.map((row, tap) => {
    const transform = constant('float32', [channels, 1, taps, 1], new Array(channels).fill(row).flat())
    const data = conv(x, transform, null, { stride: [rows, 1], pad: [1, 0, 1, 0], groups: channels })
    const mixed = mixKernels(kernels, [1, 3], (down, across, _, column) =>
      across === column ? kernel[tap]![down]! : 0,
    )
    // Every result has the second product with weight 1: that is where a bias is added once.
    return conv(data, mixed, tap === 1 ? bias : null, { pad: [0, 1, 0, 1] })
  })

  // Aᵀ over all products at once: [B, m + 2, out · tiles · W] → [B, m, out · tiles · W].
  const tiles = products[0]!.shape[2]!
  const plane = multiplyDims(tiles, width!)
  const stacked = reshape(concat(products, 1), [batch!, taps, multiplyDims(out, plane)])
  const results = matmul(constant('float32', [rows, taps], output.flat()), stacked)
  const tiled = reshape(results, [batch!, rows, multiplyDims(out, tiles), width!], [x])
  return reshape(transpose(tiled, [0, 2, 1, 3]), [batch!, out, height!, width!], [x])
}
