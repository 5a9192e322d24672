import type { Bundle } from '../lib/bundles/bundles.ts'
import { NotInBundle } from '../lib/bundles/errors.ts'
import { networkPlace, weightFiles } from '../lib/bundles/weight-files.ts'
import { clipMean, clipStd } from '../lib/images/geometry.ts'
import type { RgbImage } from '../lib/images/image.ts'
import { publishedConfig } from '../lib/nn/published-config.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { type FloatTensor, floatTensor, type HostTensor, intTensor, itemOf } from '../lib/runtime/tensor.ts'
import { openClipTokenizer } from '../lib/tokenizers/clip.ts'
import { readClipVisionConfig } from '../vision/clip-vision.ts'
import { imageEmbeddingRecipe, vitRecipe } from '../vision/networks.ts'
import { readVitConfig } from '../vision/vit.ts'
import type { PictureEmbeddings } from './measures.ts'
import { imageNetMean, imageNetStd, metricPixels } from './metric-pixels.ts'
import { textEmbeddingRecipe } from './networks.ts'
import { readTextEmbeddingConfig } from './text-embedding.ts'

/** What pictures are measured with. */
export interface Metrics {
  picture(picture: RgbImage): Promise<PictureEmbeddings>
  /** One vector of length 1 a text, in the space of `PictureEmbeddings.clip`. What a text has beyond the encoder's tokens is not seen. */
  texts(texts: readonly string[]): Promise<Float32Array[]>
}

export interface OpenedMetrics extends Metrics {
  /** All that they may use. */
  readonly networks: readonly Recipe[]
}

/** Texts a run: bounds the encoder's activations. */
const textsAtOnce = 32

/**
 * The metric networks of a bundle; `pool` opens them when they are first used. Throws NotInBundle where the bundle has
 * none, a BundleError where files are missing and a RangeError on configs that do not fit each other.
 */
export async function openMetrics(bundle: Bundle, pool: NetworkPool): Promise<OpenedMetrics> {
  const { metrics, tokenizers } = bundle.manifest
  if (!metrics) throw new NotInBundle('this bundle has no networks to measure pictures with (metrics)')
  const vit = readVitConfig(metrics.dino.config, networkPlace(bundle, 'metrics.dino'))
  const visionPlace = networkPlace(bundle, 'metrics.clipVision')
  const vision = readClipVisionConfig(metrics.clipVision.config, visionPlace)
  const projection = publishedConfig(metrics.clipVision.config, visionPlace).size('projection_dim')
  const textPlace = networkPlace(bundle, 'metrics.clipText')
  const text = readTextEmbeddingConfig(metrics.clipText.config, textPlace)
  const tokenizer = await openClipTokenizer(`${bundle.folder}/${(metrics.tokenizer ?? tokenizers.clip).folder}`)
  requireEqual(`${textPlace}: projection_dim`, text.projection, projection, "clipVision's")
  requireEqual(`${textPlace}: max_position_embeddings`, text.tokens, tokenizer.length, "its tokenizer's length")

  const dino = {
    recipe: vitRecipe(await weightFiles(bundle, 'metrics.dino'), vit),
    pixels: {
      imageSizePx: vit.imageSize,
      resizePx: metrics.dino.resizePx ?? vit.imageSize,
      mean: imageNetMean,
      std: imageNetStd,
    },
  }
  const clip = {
    recipe: imageEmbeddingRecipe(await weightFiles(bundle, 'metrics.clipVision'), vision, projection),
    pixels: {
      imageSizePx: vision.imageSize,
      resizePx: metrics.clipVision.resizePx ?? vision.imageSize,
      mean: clipMean,
      std: clipStd,
    },
  }
  const texts = textEmbeddingRecipe(await weightFiles(bundle, 'metrics.clipText'), text)

  const embed = async (recipe: Recipe, feeds: Readonly<Record<string, HostTensor>>): Promise<FloatTensor> => {
    const { embedding } = await pool.with(recipe, (network) => network.run(feeds))
    if (embedding?.dtype !== 'float32') throw new TypeError(`${recipe.name}: no output 'embedding'`)
    return embedding
  }
  return {
    networks: [dino.recipe, clip.recipe, texts],
    async picture(picture) {
      const see = async ({ recipe, pixels }: typeof dino) =>
        unit(await embed(recipe, { pixels: await metricPixels(picture, pixels) }))
      return { dino: await see(dino), clip: await see(clip) }
    },
    async texts(sentences) {
      const vectors: Float32Array[] = []
      for (let start = 0; start < sentences.length; start += textsAtOnce) {
        const some = sentences.slice(start, start + textsAtOnce).map((sentence) => tokenizer.encode(sentence).ids)
        const shape = [some.length, tokenizer.length]
        const end = floatTensor(shape)
        for (const [row, ids] of some.entries()) end.data[row * tokenizer.length + ids.indexOf(tokenizer.eosId)] = 1
        const embedding = await embed(texts, { ids: intTensor(shape, some.flat()), end })
        for (let row = 0; row < some.length; row++) vectors.push(unit(itemOf(embedding, row)))
      }
      return vectors
    },
  }
}

/** The same direction with length 1; throws a RangeError where there is none. */
function unit({ data }: FloatTensor): Float32Array {
  const length = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0))
  if (!(length > 0 && Number.isFinite(length))) throw new RangeError(`an embedding has the length ${length}`)
  return Float32Array.from(data, (value) => value / length)
}

function requireEqual(what: string, value: number, allowed: number, whose: string): void {
  if (value !== allowed) throw new RangeError(`${what} is ${value}, allowed is ${allowed}, ${whose}`)
}
