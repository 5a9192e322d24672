import * as ops from '../graph/ops/normalization.ts'
import type { Value } from '../graph/value.ts'
import type { Weights } from '../weights/weights.ts'
import { channelsOf } from './convolution.ts'
import { lastSize } from './linear.ts'

export interface GroupNormConfig {
  readonly groups: number
  readonly epsilon: number
}

/** torch GroupNorm: x [B, C, H, W], C in groups of neighbouring channels. */
export function groupNorm(w: Weights, x: Value, { groups, epsilon }: GroupNormConfig): Value {
  const channels = channelsOf(x)
  return ops.groupNormalization(x, w.tensor('weight', [channels]), w.tensor('bias', [channels]), groups, epsilon)
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
