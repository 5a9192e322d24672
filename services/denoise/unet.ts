import { silu } from '../lib/graph/ops/elementwise.ts'
import { concat } from '../lib/graph/ops/layout.ts'
import type { Value } from '../lib/graph/value.ts'
import { conv2d, upsampleConv2d } from '../lib/nn/convolution.ts'
import { timeEmbedding } from '../lib/nn/embedding.ts'
import { groupNorm } from '../lib/nn/normalization.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import { resnet } from '../lib/nn/resnet.ts'
import type { Weights } from '../lib/weights/weights.ts'
import { type AttentionLayer, transformer, type UNetAttention } from './transformer.ts'

export interface UNetConfig {
  /** Channels of every level, the finest first; all levels but the last have attention. */
  readonly channels: readonly number[]
  readonly resnetsPerLevel: number
  /** Published as `attention_head_dim`, which in Stable Diffusion 1 is the number of heads. */
  readonly heads: number
  readonly latentChannels: number
  /** Channels of the text states and of the context tokens. */
  readonly textChannels: number
  readonly groups: number
}

/** Reads the published `config.json` of a UNet. Throws a RangeError that names the field. */
export function readUNetConfig(published: unknown, source: string): UNetConfig {
  const config = publishedConfig(published, source)
  return {
    channels: config.sizes('block_out_channels'),
    resnetsPerLevel: config.size('layers_per_block'),
    heads: config.size('attention_head_dim'),
    latentChannels: config.size('in_channels'),
    textChannels: config.size('cross_attention_dim'),
    groups: config.size('norm_num_groups'),
  }
}

/**
 * diffusers UNet2DConditionModel as Stable Diffusion 1.5 sets it: latents [B, 4, 8h, 8w], timestep [B or 1] (float32,
 * 0 … 999) → ε [B, 4, 8h, 8w]. What the attention layers attend to is the caller's, and where its `attention.repeat`
 * makes more of the latents, there are as many ε.
 */
export function unet(w: Weights, latents: Value, timestep: Value, attention: UNetAttention, c: UNetConfig): Value {
  const norm = { groups: c.groups, epsilon: 1e-5 }
  const layers = attentionLayers(c)
  const top = c.channels.length - 1
  const attend = (scope: Weights, x: Value, layer: AttentionLayer) => transformer(scope, x, attention, layer, c.groups)

  // Time
  const time = silu(timeEmbedding(w.at('time_embedding'), timestep, c.channels[0]!))

  // In
  let x = conv2d(w.at('conv_in'), latents, { out: c.channels[0]!, kernel: 3, pad: 1 })
  const skips = [attention.repeat?.(x) ?? x]

  // Down
  for (const [level, channels] of c.channels.entries()) {
    const block = w.at('down_blocks').at(level)
    for (let index = 0; index < c.resnetsPerLevel; index++) {
      x = resnet(block.at('resnets').at(index), x, time, channels, norm)
      if (level < top) x = attend(block.at('attentions').at(index), x, layers.down[level]![index]!)
      skips.push(x)
    }
    if (level < top) {
      x = conv2d(block.at('downsamplers.0.conv'), x, { out: channels, kernel: 3, stride: 2, pad: 1 })
      skips.push(x)
    }
  }

  // Middle
  const middle = w.at('mid_block')
  x = resnet(middle.at('resnets.0'), x, time, c.channels[top]!, norm)
  x = attend(middle.at('attentions.0'), x, layers.middle)
  x = resnet(middle.at('resnets.1'), x, time, c.channels[top]!, norm)

  // Up
  for (let level = top; level >= 0; level--) {
    const block = w.at('up_blocks').at(top - level)
    const channels = c.channels[level]!
    for (let index = 0; index <= c.resnetsPerLevel; index++) {
      x = resnet(block.at('resnets').at(index), concat([x, skips.pop()!], 1), time, channels, norm)
      if (level < top) x = attend(block.at('attentions').at(index), x, layers.up[level]![index]!)
    }
    if (level > 0) x = upsampleConv2d(block.at('upsamplers.0.conv'), x, channels)
  }

  // Out
  x = silu(groupNorm(w.at('conv_norm_out'), x, norm))
  return conv2d(w.at('conv_out'), x, { out: c.latentChannels, kernel: 3, pad: 1 })
}

/** All transformer blocks of the UNet: by level and index going down and going up, and the one in the middle. */
export function attentionLayers(c: UNetConfig): {
  readonly down: readonly (readonly AttentionLayer[])[]
  readonly up: readonly (readonly AttentionLayer[])[]
  readonly middle: AttentionLayer
  /** In the order down, up, middle. */
  readonly all: readonly AttentionLayer[]
} {
  const all: AttentionLayer[] = []
  const next = (level: number) => {
    const layer = Object.freeze({ block: all.length, level, channels: c.channels[level]!, heads: c.heads })
    all.push(layer)
    return layer
  }
  const repeat = (level: number, count: number) => Array.from({ length: count }, () => next(level))
  const top = c.channels.length - 1
  const down = Array.from({ length: top }, (_, level) => repeat(level, c.resnetsPerLevel))
  const up: AttentionLayer[][] = []
  for (let level = top - 1; level >= 0; level--) up[level] = repeat(level, c.resnetsPerLevel + 1)
  return { down, up, middle: next(top), all }
}
