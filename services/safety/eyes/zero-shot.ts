import { NetworkError } from '../../lib/runtime/errors.ts'
import type { NetworkPool } from '../../lib/runtime/pool.ts'
import type { Recipe } from '../../lib/runtime/recipe.ts'
import { floatTensor, type HostTensor, intTensor } from '../../lib/runtime/tensor.ts'
import type { ClipTokenizer } from '../../lib/tokenizers/clip.ts'
import { clipPixels } from '../../vision/vision.ts'
import type { SafetyPolicy } from '../policy/policy.ts'
import type { ZeroShot } from './eyes.ts'

export interface ZeroShotNetworks {
  /** `pixels` [1,3,S,S] → `embedding` [1,E]. */
  readonly image: Recipe
  readonly imageSizePx: number
  /** `ids`, `eos` → `embedding` [1,E]. */
  readonly text: Recipe
  readonly tokenizer: ClipTokenizer
  /** Added to the log odds of a person, for a network that is too sure or not sure enough; 0 leaves CLIP's own. */
  readonly personBias: number
  readonly judgesPictures: boolean
}

/**
 * CLIP's zero-shot classification among the policy's sentences: softmax over `scale` times the cosines, summed by what
 * the sentences name. The sentences are embedded once, when first needed. Throws where an embedding is not finite.
 */
export function createZeroShot(
  pool: NetworkPool,
  networks: ZeroShotNetworks,
  sentences: SafetyPolicy['zeroShot'],
): ZeroShot {
  const texts = [...sentences.person, ...sentences.lookAlikes, ...sentences.things]
  let embedded: Promise<readonly Float32Array[]> | undefined
  const embedTexts = () => {
    // A failure is not kept: the next judgement tries again.
    embedded ??= Promise.all(texts.map((text) => embedText(pool, networks, text))).catch((error: unknown) => {
      embedded = undefined
      throw error
    })
    return embedded
  }
  return {
    judgesPictures: networks.judgesPictures,
    async judge(picture, signal) {
      const pixels = await clipPixels(picture, networks.imageSizePx)
      signal?.throwIfAborted()
      const image = await pool.with(networks.image, (network) => network.run({ pixels }))
      const direction = unit(networks.image, image.embedding)
      const cosines = (await embedTexts()).map((text) => text.reduce((sum, value, i) => sum + value * direction[i]!, 0))
      const people = sentences.person.length
      const logits = cosines.map(
        (cosine, index) => cosine * sentences.scale + (index < people ? networks.personBias : 0),
      )
      const shares = softmax(logits)
      const sum = (from: number, count: number) => shares.slice(from, from + count).reduce((a, b) => a + b, 0)
      return { person: sum(0, people), lookAlike: sum(people, sentences.lookAlikes.length) }
    },
  }
}

async function embedText(
  pool: NetworkPool,
  { text, tokenizer }: ZeroShotNetworks,
  words: string,
): Promise<Float32Array> {
  const { ids } = tokenizer.encode(words)
  const eos = floatTensor([1, 1, ids.length])
  eos.data[ids.indexOf(tokenizer.eosId)] = 1
  const results = await pool.with(text, (network) => network.run({ ids: intTensor([1, ids.length], ids), eos }))
  return unit(text, results.embedding)
}

function unit(recipe: Recipe, tensor: HostTensor | undefined): Float32Array {
  if (tensor?.dtype !== 'float32') throw new NetworkError(recipe.name, `no output 'embedding'`)
  const length = Math.hypot(...tensor.data)
  if (!Number.isFinite(length) || length === 0)
    throw new NetworkError(recipe.name, `the embedding's length is ${length}`)
  return tensor.data.map((value) => value / length)
}

function softmax(logits: readonly number[]): number[] {
  const largest = Math.max(...logits)
  const powers = logits.map((logit) => Math.exp(logit - largest))
  const total = powers.reduce((sum, power) => sum + power, 0)
  return powers.map((power) => power / total)
}
