import { build, type Graph } from '../lib/graph/build.ts'
import { cast, sigmoid, silu } from '../lib/graph/ops/elementwise.ts'
import { concat } from '../lib/graph/ops/layout.ts'
import { constant, input, type Value } from '../lib/graph/value.ts'
import { conv2d, upsampleConv2d } from '../lib/nn/convolution.ts'
import { timeEmbedding } from '../lib/nn/embedding.ts'
import { groupNorm } from '../lib/nn/normalization.ts'
import { pixelAttention } from '../lib/nn/pixel-attention.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import { resnet } from '../lib/nn/resnet.ts'
import type { Weights } from '../lib/weights/weights.ts'

export interface SegmentationConfig {
  /** Side of the square picture in pixels. */
  readonly imageSize: number
  /** Channels of every level, the finest first. */
  readonly channels: readonly number[]
  readonly resnetsPerLevel: number
  readonly groups: number
  readonly epsilon: number
  /** What stands between going down and going up: nothing, two resnets, or these with attention of so many heads between. */
  readonly middle: 'nothing' | 'resnets' | { readonly heads: number }
}

/**
 * Reads the published `config.json` of a UNet2DModel that takes a picture and gives one channel. Throws a RangeError
 * that names the field, also for kinds of blocks that this network has no form of.
 */
export function readSegmentationConfig(published: unknown, source: string): SegmentationConfig {
  const config = publishedConfig(published, source)
  for (const [field, allowed] of fixedFields) config.fixed(field, allowed)
  const channels = config.sizes('block_out_channels')
  const width = channels.at(-1)!
  const heads = Math.floor(width / config.size('attention_head_dim', 8))
  const attention = config.flag('add_attention', true) ? { heads } : 'resnets'
  return {
    imageSize: config.size('sample_size'),
    channels,
    resnetsPerLevel: config.size('layers_per_block'),
    groups: config.size('norm_num_groups', 32),
    epsilon: config.number('norm_eps', 1e-5),
    middle: config.isNull('mid_block_type') ? 'nothing' : attention,
  }
}

const fixedFields = [
  ['in_channels', 3],
  ['out_channels', 1],
  ['down_block_types', 'DownBlock2D'],
  ['up_block_types', 'UpBlock2D'],
  ['mid_block_type', 'UNetMidBlock2D'],
  ['act_fn', 'silu'],
  ['time_embedding_type', 'positional'],
  ['flip_sin_to_cos', true],
  ['center_input_sample', false],
  ['resnet_time_scale_shift', 'default'],
  ['mid_block_scale_factor', 1],
  ['downsample_padding', 1],
  ['downsample_type', 'conv'],
  ['upsample_type', 'conv'],
] as const

/** diffusers UNet2DModel at timestep 0: pictures [B, 3, S, S] in −1 … 1 → logits [B, 1, S, S]. */
export function segmentationLogits(w: Weights, pictures: Value, c: SegmentationConfig): Value {
  const norm = { groups: c.groups, epsilon: c.epsilon }
  const top = c.channels.length - 1

  // Time: the same for every picture, so that the runtime computes it once, at load
  const time = silu(timeEmbedding(w.at('time_embedding'), constant('float32', [1], [0]), c.channels[0]!))

  // In
  let x = conv2d(w.at('conv_in'), pictures, { out: c.channels[0]!, kernel: 3, pad: 1 })
  const skips = [x]

  // Down
  for (const [level, channels] of c.channels.entries()) {
    const block = w.at('down_blocks').at(level)
    for (let index = 0; index < c.resnetsPerLevel; index++) {
      x = resnet(block.at('resnets').at(index), x, time, channels, norm)
      skips.push(x)
    }
    if (level < top) {
      x = conv2d(block.at('downsamplers.0.conv'), x, { out: channels, kernel: 3, stride: 2, pad: 1 })
      skips.push(x)
    }
  }

  // Middle
  if (c.middle !== 'nothing') {
    const middle = w.at('mid_block')
    x = resnet(middle.at('resnets.0'), x, time, c.channels[top]!, norm)
    if (c.middle !== 'resnets') x = pixelAttention(middle.at('attentions.0'), x, c.middle.heads, norm)
    x = resnet(middle.at('resnets.1'), x, time, c.channels[top]!, norm)
  }

  // Up
  for (let level = top; level >= 0; level--) {
    const block = w.at('up_blocks').at(top - level)
    const channels = c.channels[level]!
    for (let index = 0; index <= c.resnetsPerLevel; index++)
      x = resnet(block.at('resnets').at(index), concat([x, skips.pop()!], 1), time, channels, norm)
    if (level > 0) x = upsampleConv2d(block.at('upsamplers.0.conv'), x, channels)
  }

  // Out
  x = silu(groupNorm(w.at('conv_norm_out'), x, norm))
  return conv2d(w.at('conv_out'), x, { out: 1, kernel: 3, pad: 1 })
}

/** Graph `pictures` [batch, 3, S, S] in −1 … 1 → `subject` [batch, 1, S, S], how likely each pixel is the main thing's, 0 … 1, float32. */
export function segmentationGraph(w: Weights, c: SegmentationConfig): Graph {
  const halvings = 2 ** (c.channels.length - 1)
  if (c.imageSize % halvings !== 0)
    throw new RangeError(`${w.path}: sample_size is ${c.imageSize}, allowed is a multiple of ${halvings}`)
  const pictures = input('pictures', 'float32', ['batch', 3, c.imageSize, c.imageSize])
  const logits = segmentationLogits(w, cast(pictures, w.compute), c)
  return build('segmentation', [pictures], { subject: sigmoid(cast(logits, 'float32')) })
}
