import { build, type Graph } from '../lib/graph/build.ts'
import { multiplyDims } from '../lib/graph/dimension.ts'
import { multiHeadAttention } from '../lib/graph/ops/attention.ts'
import { add, cast, multiply, softmax, subtract } from '../lib/graph/ops/elementwise.ts'
import { concat, halve, reshape, reshapeLike, transpose } from '../lib/graph/ops/layout.ts'
import { matmul } from '../lib/graph/ops/matrix.ts'
import { input, type Value } from '../lib/graph/value.ts'
import { linearNoBias } from '../lib/nn/linear.ts'
import type { Weights } from '../lib/weights/weights.ts'
import { contextTokens } from './image-projection.ts'
import { combineMaps, maskPyramid, subjectMap } from './mask.ts'
import type { AttentionLayer } from './transformer.ts'
import { attentionLayers, type UNetConfig, unet } from './unet.ts'

/**
 * Graph of one denoising step for n images of one request, both guidance halves together.
 *
 * Inputs: `latents` [n, 4, 8·height, 8·width]; `timestep` [1]; `mask` [n, 1, 8·height, 8·width], the mask of the step
 * before, 0 … 1 (ones where there is none); `subject_tokens` [text_tokens], ones at the subject's positions in the
 * text; `strength` [1], β; `context_scale` [1]; `guidance` [1]; and of every transformer block the outputs of the
 * `subject` and the `condition` graph by their names.
 * Outputs: `epsilon` [n, 4, 8·height, 8·width], guided: ε_u + g(ε_c − ε_u); `next_mask` [n, 1, 8·height,
 * 8·width], the mask for the next step.
 *
 * The two halves are the first axis of what the attentions read, and the n images of a half are one long row of
 * queries to it, so that neither subject nor text keys are ever repeated.
 */
export function stepGraph(w: Weights, adapters: Weights, c: UNetConfig): Graph {
  const latents = input('latents', 'float32', ['images', c.latentChannels, '8*height', '8*width'])
  const timestep = input('timestep', 'float32', [1])
  const mask = input('mask', 'float32', ['images', 1, '8*height', '8*width'])
  const subjectTokens = input('subject_tokens', 'float32', ['text_tokens'])
  const strength = input('strength', 'float32', [1])
  const contextScale = input('context_scale', 'float32', [1])
  const guidance = input('guidance', 'float32', [1])
  const features = attentionLayers(c).all.map((layer) => featureInputs(layer))

  const masks = maskPyramid(mask, c.channels.length)
  const tokens = cast(subjectTokens, w.compute)
  const maps: { level: number; map: Value }[] = []

  const noise = unet(
    w,
    cast(latents, w.compute),
    timestep,
    {
      /** The two halves have the same latents: they part where the first text is read. */
      repeat: (x) => concat([x, x], 0),
      /** z = Attn(Q, K, V) + β · s · m ⊙ Attn(Q, K_ref, V_ref). */
      self: (scope, x, layer) => {
        const { subjectKey, subjectValue } = features[layer.block]!
        const [q, k, v] = ['to_q', 'to_k', 'to_v'].map((name) => linearNoBias(scope.at(name), x, layer.channels))
        const attended = multiHeadAttention(q!, k!, v!, layer.heads)
        const own = layer.block === 0 ? oneRow(attended) : halves(attended)
        const subject = multiHeadAttention(
          oneRow(q!),
          cast(subjectKey, w.compute),
          cast(subjectValue, w.compute),
          layer.heads,
        )
        const learned = adapters.at(2 * layer.block).tensor('scale_learnable', [1])
        const weight = multiply(
          cast(rowMask(masks[layer.level]!, [1]), w.compute),
          multiply(learned, cast(strength, w.compute)),
        )
        return reshapeLike(add(own, multiply(reshape(subject, own.shape), weight)), x)
      },
      /** z = Attn(Q, K_text, V_text) + m ⊙ Attn(Q, K_ctx, V_ctx). */
      cross: (scope, x, layer) => {
        const { textKey, textValue, contextKey, contextValue } = features[layer.block]!
        const q = splitHeads(halves(linearNoBias(scope.at('to_q'), x, layer.channels)), layer)
        const probabilities = softmax(matmul(q, cast(textKey, w.compute)))
        maps.push({ level: layer.level, map: subjectMap(probabilities, tokens, masks[layer.level]!) })
        const text = matmul(probabilities, cast(textValue, w.compute))
        const context = matmul(softmax(matmul(q, cast(contextKey, w.compute))), cast(contextValue, w.compute))
        const weight = cast(multiply(rowMask(masks[layer.level]!, [1, 1]), contextScale), w.compute)
        return reshapeLike(transpose(add(text, multiply(context, weight)), [0, 2, 1, 3]), x)
      },
    },
    c,
  )

  const [unconditional, conditional] = halve(cast(noise, 'float32'), 0)
  const epsilon = add(unconditional, multiply(subtract(conditional, unconditional), guidance))
  return build(
    'step',
    [
      latents,
      timestep,
      mask,
      subjectTokens,
      strength,
      contextScale,
      guidance,
      ...features.flatMap((one) => Object.values(one)),
    ],
    { epsilon, next_mask: combineMaps(maps) },
  )
}

function featureInputs({ block, level, channels, heads }: AttentionLayer) {
  const size = channels / heads
  return {
    subjectKey: input(`subject_key.${block}`, 'float32', [1, `subject_keys_${level}`, channels]),
    subjectValue: input(`subject_value.${block}`, 'float32', [1, `subject_keys_${level}`, channels]),
    textKey: input(`text_key.${block}`, 'float32', [2, heads, size, 'text_tokens']),
    textValue: input(`text_value.${block}`, 'float32', [2, heads, 'text_tokens', size]),
    contextKey: input(`context_key.${block}`, 'float32', [2, heads, size, contextTokens]),
    contextValue: input(`context_value.${block}`, 'float32', [2, heads, contextTokens, size]),
  }
}

/** [2n, T, C] → [2, n·T, C]: all tokens of a guidance half in one row. */
function halves(x: Value): Value {
  const [images] = halve(x, 0)
  return reshape(x, [2, multiplyDims(images.shape[0]!, x.shape[1]!), x.shape[2]!])
}

/** [N, T, C] → [1, N·T, C]: all tokens in one row. */
function oneRow(x: Value): Value {
  return reshape(x, [1, multiplyDims(x.shape[0]!, x.shape[1]!), x.shape[2]!])
}

/** [2, N, C] → [2, H, N, d]. */
function splitHeads(x: Value, layer: AttentionLayer): Value {
  return transpose(reshape(x, [2, x.shape[1]!, layer.heads, layer.channels / layer.heads]), [0, 2, 1, 3])
}

/** [n, 1, h, w] → [...ones, n·h·w, 1], to weigh rows of tokens. */
function rowMask(mask: Value, leading: readonly number[]): Value {
  const [images, , height, width] = mask.shape
  return reshape(mask, [...leading, multiplyDims(images!, multiplyDims(height!, width!)), 1])
}
