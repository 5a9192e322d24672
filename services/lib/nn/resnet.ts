import { add, silu } from '../graph/ops/elementwise.ts'
import { unsqueeze } from '../graph/ops/layout.ts'
import type { Value } from '../graph/value.ts'
import type { Weights } from '../weights/weights.ts'
import { channelsOf, conv2d } from './convolution.ts'
import { linear } from './linear.ts'
import { type GroupNormConfig, groupNorm } from './normalization.ts'

/**
 * diffusers ResnetBlock2D: x [B, Cin, H, W] → [B, out, H, W]. `time` [B, E] is the time embedding after its SiLU, which
 * all blocks share; null in the VAE.
 */
export function resnet(w: Weights, x: Value, time: Value | null, out: number, norm: GroupNormConfig): Value {
  let h = conv2d(w.at('conv1'), silu(groupNorm(w.at('norm1'), x, norm)), { out, kernel: 3, pad: 1 })
  if (time) h = add(h, unsqueeze(linear(w.at('time_emb_proj'), time, out), [2, 3]))
  h = conv2d(w.at('conv2'), silu(groupNorm(w.at('norm2'), h, norm)), { out, kernel: 3, pad: 1 })
  return add(channelsOf(x) === out ? x : conv2d(w.at('conv_shortcut'), x, { out, kernel: 1 }), h)
}
