import { type ConvolutionShape, conv } from '../graph/ops/convolution.ts'
import { upsampleNearest } from '../graph/ops/layout.ts'
import type { Value } from '../graph/value.ts'
import type { Weights } from '../weights/weights.ts'
import type { Kernels3x3 } from './kernels.ts'
import { phaseConvolutions } from './upsample-convolution.ts'
import { minimalConv3x3, minimalFilterFor } from './winograd.ts'

export interface Conv2dConfig extends Omit<ConvolutionShape, 'groups'> {
  /** Channels of the result. */
  readonly out: number
  /** Side of the square kernel in pixels. */
  readonly kernel: number
  /** Whether the checkpoint has a bias; true if not said. */
  readonly bias?: boolean
}

/**
 * torch Conv2d: x [B, Cin, H, W] → [B, out, H', W']. A wide 3×3 convolution that keeps its picture's size is done by
 * Winograd's minimal filters, the same sum with half of the multiplications or two thirds.
 */
export function conv2d(w: Weights, x: Value, config: Conv2dConfig): Value {
  const { out, kernel, bias = true, ...shape } = config
  const filter = keepsSize3x3(config) && rewrites(w, x, out, minimalFilterChannels) ? minimalFilterFor(x) : null
  if (filter) return minimalConv3x3(x, kernels3x3(w, x, out, bias), filter)
  const weight = w.tensor('weight', [out, channelsOf(x), kernel, kernel])
  return conv(x, weight, bias ? w.tensor('bias', [out]) : null, shape)
}

/**
 * diffusers Upsample2D: nearest growth by two, then a torch Conv2d of 3×3 with padding 1 and bias: x [B, Cin, H, W] →
 * [B, out, 2H, 2W].
 */
export function upsampleConv2d(w: Weights, x: Value, out: number): Value {
  if (rewrites(w, x, out, phaseChannels)) return phaseConvolutions(x, kernels3x3(w, x, out, true))
  return conv2d(w, upsampleNearest(x, 2), { out, kernel: 3, pad: 1 })
}

/** Channels of a picture [B, C, H, W], which the weights of a network always fix. */
export function channelsOf(x: Value): number {
  const channels = x.shape[1]
  if (typeof channels !== 'number')
    throw new RangeError(`${x.path}: the channel axis is open where a layer needs its size`)
  return channels
}

/**
 * The fewest channels, on both sides, with which a rewritten convolution is the faster one. It saves multiplications,
 * which grow with the channels, and costs passes over the picture, which do not: measured on AVX-512, minimal filters
 * take 0.6 of the plain time at 320 … 1280 channels and 1.2 at 128 channels on 512², phases 0.6 already at 32.
 */
const minimalFilterChannels = 256
const phaseChannels = 16

/**
 * Whether a convolution with these channels may be rewritten. Channels in whole vectors of 16, because the runtime's
 * fast layout is for them alone; in float32, because half precision would round the kernels' sums, and because the
 * devices that compute in it choose an algorithm by themselves.
 */
function rewrites(w: Weights, x: Value, out: number, fewest: number): boolean {
  return w.compute === 'float32' && [channelsOf(x), out].every((channels) => channels >= fewest && channels % 16 === 0)
}

function keepsSize3x3({ kernel, stride = 1, pad }: Conv2dConfig): boolean {
  return kernel === 3 && stride === 1 && pad === 1
}

function kernels3x3(w: Weights, x: Value, out: number, bias: boolean): Kernels3x3 {
  const channels = channelsOf(x)
  const taps = w.tensor('weight', [out, channels, 3, 3], [out * channels, 9])
  return { taps, bias: bias ? w.tensor('bias', [out]) : null, out, channels }
}
