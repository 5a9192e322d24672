import { type ConvolutionShape, conv } from '../graph/ops/convolution.ts'
import type { Value } from '../graph/value.ts'
import type { Weights } from '../weights/weights.ts'

export interface Conv2dConfig extends ConvolutionShape {
  /** Channels of the result. */
  readonly out: number
  /** Side of the square kernel in pixels. */
  readonly kernel: number
  /** Whether the checkpoint has a bias; true if not said. */
  readonly bias?: boolean
}

/** torch Conv2d: x [B, Cin, H, W] → [B, out, H', W']. */
export function conv2d(w: Weights, x: Value, { out, kernel, bias = true, ...shape }: Conv2dConfig): Value {
  const weight = w.tensor('weight', [out, channelsOf(x), kernel, kernel])
  return conv(x, weight, bias ? w.tensor('bias', [out]) : null, shape)
}

/** Channels of a picture [B, C, H, W], which the weights of a network always fix. */
export function channelsOf(x: Value): number {
  const channels = x.shape[1]
  if (typeof channels !== 'number')
    throw new RangeError(`${x.path}: the channel axis is open where a layer needs its size`)
  return channels
}
