import { multiplyDims } from '../graph/dimension.ts'
import { multiHeadAttention } from '../graph/ops/attention.ts'
import { add } from '../graph/ops/elementwise.ts'
import { reshape, reshapeLike, transpose } from '../graph/ops/layout.ts'
import type { Value } from '../graph/value.ts'
import type { Weights } from '../weights/weights.ts'
import { channelsOf } from './convolution.ts'
import { linear } from './linear.ts'
import { type GroupNormConfig, groupNorm } from './normalization.ts'

/**
 * diffusers Attention in the middle of UNet2DModel and AutoencoderKL: every pixel of x [B, C, H, W] attends to all,
 * residual. Checkpoints before diffusers 0.12, sd-vae-ft-mse among them, spell the four projections `query`, `key`,
 * `value`, `proj_attn`.
 */
export function pixelAttention(w: Weights, x: Value, heads: number, norm: GroupNormConfig): Value {
  const [batch, , height, width] = x.shape
  const channels = channelsOf(x)
  const names = w.has('query.weight') ? ['query', 'key', 'value', 'proj_attn'] : ['to_q', 'to_k', 'to_v', 'to_out.0']
  const normalized = groupNorm(w.at('group_norm'), x, norm)
  const tokens = transpose(reshape(normalized, [batch!, channels, multiplyDims(height!, width!)]), [0, 2, 1])
  const [q, k, v] = names.slice(0, 3).map((name) => linear(w.at(name), tokens, channels))
  const mixed = linear(w.at(names[3]!), multiHeadAttention(q!, k!, v!, heads), channels)
  return add(x, reshapeLike(transpose(mixed, [0, 2, 1]), x))
}
