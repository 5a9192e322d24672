import { build, type Graph } from '../lib/graph/build.ts'
import { multiHeadAttention } from '../lib/graph/ops/attention.ts'
import { cast } from '../lib/graph/ops/elementwise.ts'
import { gather } from '../lib/graph/ops/layout.ts'
import { constant, input, type Value } from '../lib/graph/value.ts'
import { linearNoBias } from '../lib/nn/linear.ts'
import type { Weights } from '../lib/weights/weights.ts'
import { attend } from './transformer.ts'
import { type UNetConfig, unet } from './unet.ts'

/**
 * Graph of the subject features: the reference pass of the UNet at t = 0, with the subject noun as its only text.
 *
 * Inputs: `latents` [1, 4, 8·height, 8·width], scaled and noised for t = 0; `text` [1, text_tokens, D]; for every level
 * l of the UNet `foreground.<l>` [subject_keys_<l>] (int64), the places of the subject's tokens in row order.
 * Outputs: for every transformer block b `subject_key.<b>` and `subject_value.<b>` [1, subject_keys_<l>, C], float32:
 * the frozen projections of the self-attention, then the learned maps `to_k_ip`, `to_v_ip`, the subject's tokens only.
 * Leaving a key out is what a mask of −∞ on it amounts to.
 *
 * `adapters` is the scope of MoMA's attention layers (`self_cross_attentions`).
 */
export function subjectGraph(w: Weights, adapters: Weights, c: UNetConfig): Graph {
  const latents = input('latents', 'float32', [1, c.latentChannels, '8*height', '8*width'])
  const text = input('text', 'float32', [1, 'text_tokens', c.textChannels])
  const foreground = c.channels.map((_, level) => input(`foreground.${level}`, 'int64', [`subject_keys_${level}`]))
  const textStates = cast(text, w.compute)
  const features: Record<string, Value> = {}

  unet(
    w,
    cast(latents, w.compute),
    constant('float32', [1], [0]),
    {
      self: (scope, x, { block, level, channels, heads }) => {
        const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((name) => linearNoBias(scope.at(name), x, channels))
        const maps = adapters.at(2 * block)
        const own = (map: string, y: Value) =>
          cast(linearNoBias(maps.at(map), gather(y, foreground[level]!, 1), channels), 'float32')
        features[`subject_key.${block}`] = own('to_k_ip', k!)
        features[`subject_value.${block}`] = own('to_v_ip', v!)
        return multiHeadAttention(q!, k!, v!, heads)
      },
      cross: (scope, x, layer) => attend(scope, x, textStates, layer),
    },
    c,
  )

  return build('subject', [latents, text, ...foreground], features)
}
