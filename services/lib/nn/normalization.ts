import { multiplyDims } from '../graph/dimension.ts'
import { add, cast, multiply } from '../graph/ops/elementwise.ts'
import { reshape, reshapeLike } from '../graph/ops/layout.ts'
import * as ops from '../graph/ops/normalization.ts'
import { constant, type Value } from '../graph/value.ts'
import type { Weights } from '../weights/weights.ts'
import { channelsOf } from './convolution.ts'
import { lastSize } from './linear.ts'

export interface GroupNormConfig {
  readonly groups: number
  readonly epsilon: number
}

/**
 * torch GroupNorm: x [B, C, H, W], C in groups of neighbouring channels. Every group is one channel of an
 * InstanceNormalization, for which the runtime has a kernel; its GroupNormalization is a dozen passes over memory.
 * Throws a RangeError where the groups do not divide the channels.
 */
export function groupNorm(w: Weights, x: Value, { groups, epsilon }: GroupNormConfig): Value {
  const [batch, , height, width] = x.shape
  const channels = channelsOf(x)
  if (channels % groups !== 0)
    throw new RangeError(`${w.path}: ${channels} channels do not fall into ${groups} equal groups`)
  const grouped = reshape(x, [batch!, groups, multiplyDims(channels / groups, multiplyDims(height!, width!))])
  const vector = (number: number) => cast(constant('float32', [groups], new Array(groups).fill(number)), x.dtype)
  const normalized = ops.instanceNormalization(grouped, vector(1), vector(0), epsilon)
  const [scale, bias] = ['weight', 'bias'].map((name) => w.tensor(name, [channels], [channels, 1, 1]))
  return add(multiply(reshapeLike(normalized, x), scale!), bias!)
}

/** torch LayerNorm over the last axis. */
export function layerNorm(w: Weights, x: Value, epsilon: number): Value {
  const size = lastSize(x)
  return ops.layerNormalization(x, w.tensor('weight', [size]), w.tensor('bias', [size]), epsilon)
}

/** LLaMA's RMSNorm over the last axis. */
export function rmsNorm(w: Weights, x: Value, epsilon: number): Value {
  return ops.rmsNormalization(x, w.tensor('weight', [lastSize(x)]), epsilon)
}
