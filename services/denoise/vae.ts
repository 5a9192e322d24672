import { build, type Graph } from '../lib/graph/build.ts'
import { cast, silu } from '../lib/graph/ops/elementwise.ts'
import { halve } from '../lib/graph/ops/layout.ts'
import { input, type Value } from '../lib/graph/value.ts'
import { channelsOf, conv2d, upsampleConv2d } from '../lib/nn/convolution.ts'
import { groupNorm } from '../lib/nn/normalization.ts'
import { pixelAttention } from '../lib/nn/pixel-attention.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import { resnet } from '../lib/nn/resnet.ts'
import type { Weights } from '../lib/weights/weights.ts'

export interface VaeConfig {
  /** Channels of every level, the finest first. */
  readonly channels: readonly number[]
  readonly resnetsPerLevel: number
  readonly latentChannels: number
  readonly groups: number
  /** Latents are the encoder's mean times this (0.18215). */
  readonly scalingFactor: number
}

/** Reads the published `config.json` of an AutoencoderKL. Throws a RangeError that names the field. */
export function readVaeConfig(published: unknown, source: string): VaeConfig {
  const config = publishedConfig(published, source)
  return {
    channels: config.sizes('block_out_channels'),
    resnetsPerLevel: config.size('layers_per_block'),
    latentChannels: config.size('latent_channels'),
    groups: config.size('norm_num_groups'),
    scalingFactor: config.number('scaling_factor', 0.18215),
  }
}

/**
 * diffusers AutoencoderKL, encoding half: pictures [B, 3, 8h, 8w] in −1 … 1 → mean and log variance of the unscaled
 * latents, each [B, latentChannels, h, w].
 */
export function encode(w: Weights, pictures: Value, c: VaeConfig): { mean: Value; logVariance: Value } {
  const encoder = w.at('encoder')
  let x = conv2d(encoder.at('conv_in'), pictures, { out: c.channels[0]!, kernel: 3, pad: 1 })
  for (const [level, channels] of c.channels.entries()) {
    const block = encoder.at('down_blocks').at(level)
    for (let index = 0; index < c.resnetsPerLevel; index++)
      x = resnet(block.at('resnets').at(index), x, null, channels, norm(c))
    // The encoder pads right and bottom only.
    if (level < c.channels.length - 1) {
      x = conv2d(block.at('downsamplers.0.conv'), x, { out: channels, kernel: 3, stride: 2, pad: [0, 0, 1, 1] })
    }
  }
  x = midBlock(encoder.at('mid_block'), x, c)
  x = silu(groupNorm(encoder.at('conv_norm_out'), x, norm(c)))
  x = conv2d(encoder.at('conv_out'), x, { out: 2 * c.latentChannels, kernel: 3, pad: 1 })
  const [mean, logVariance] = halve(conv2d(w.at('quant_conv'), x, { out: 2 * c.latentChannels, kernel: 1 }), 1)
  return { mean, logVariance }
}

/** diffusers AutoencoderKL, decoding half: unscaled latents [B, latentChannels, h, w] → pictures [B, 3, 8h, 8w], about −1 … 1. */
export function decode(w: Weights, latents: Value, c: VaeConfig): Value {
  const decoder = w.at('decoder')
  const levels = [...c.channels].reverse()
  const unquantized = conv2d(w.at('post_quant_conv'), latents, { out: c.latentChannels, kernel: 1 })
  let x = conv2d(decoder.at('conv_in'), unquantized, { out: levels[0]!, kernel: 3, pad: 1 })
  x = midBlock(decoder.at('mid_block'), x, c)
  for (const [level, channels] of levels.entries()) {
    const block = decoder.at('up_blocks').at(level)
    for (let index = 0; index <= c.resnetsPerLevel; index++)
      x = resnet(block.at('resnets').at(index), x, null, channels, norm(c))
    if (level < levels.length - 1) {
      x = upsampleConv2d(block.at('upsamplers.0.conv'), x, channels)
    }
  }
  x = silu(groupNorm(decoder.at('conv_norm_out'), x, norm(c)))
  return conv2d(decoder.at('conv_out'), x, { out: 3, kernel: 3, pad: 1 })
}

/** Graph `pictures` [batch, 3, 64·height, 64·width] → `mean`, `log_variance` [batch, 4, 8·height, 8·width], float32. */
export function vaeEncoderGraph(w: Weights, c: VaeConfig): Graph {
  const pictures = input('pictures', 'float32', ['batch', 3, '64*height', '64*width'])
  const { mean, logVariance } = encode(w, cast(pictures, w.compute), c)
  return build('vae-encoder', [pictures], { mean: cast(mean, 'float32'), log_variance: cast(logVariance, 'float32') })
}

/** Graph `latents` (unscaled) [batch, 4, 8·height, 8·width] → `pictures` [batch, 3, 64·height, 64·width], float32. */
export function vaeDecoderGraph(w: Weights, c: VaeConfig): Graph {
  const latents = input('latents', 'float32', ['batch', c.latentChannels, '8*height', '8*width'])
  return build('vae-decoder', [latents], { pictures: cast(decode(w, cast(latents, w.compute), c), 'float32') })
}

function midBlock(w: Weights, x: Value, c: VaeConfig): Value {
  const channels = channelsOf(x)
  const first = resnet(w.at('resnets.0'), x, null, channels, norm(c))
  return resnet(w.at('resnets.1'), pixelAttention(w.at('attentions.0'), first, 1, norm(c)), null, channels, norm(c))
}

function norm(c: VaeConfig) {
  return { groups: c.groups, epsilon: 1e-6 }
}
