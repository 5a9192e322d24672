import { NotInBundle } from '../lib/bundles/errors.ts'
import { clipMean, clipStd, padToSquare, toEncoderPlanes, toNormalizedPlanes } from '../lib/images/geometry.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import { resizeBicubic, resizePlaneBicubic } from '../lib/images/resize.ts'
import type { NetworkPool } from '../lib/runtime/pool.ts'
import type { Recipe } from '../lib/runtime/recipe.ts'
import { type FloatTensor, floatTensor } from '../lib/runtime/tensor.ts'

/** What the vision service sees in a picture. In this process or behind gRPC, it is the same. */
export interface Vision {
  /** CLIP-L patch features for the MLLM, of the subject on white: [1, patches, C]. */
  patchFeatures(picture: RgbImage, signal?: AbortSignal): Promise<FloatTensor>
  /** ViT-H image embedding [1, E]; what IP-Adapter draws from. Throws NotInBundle where the bundle has no such tower. */
  imageEmbedding(picture: RgbImage, signal?: AbortSignal): Promise<FloatTensor>
  /** How likely each pixel belongs to the photo's main thing, 0 … 255 at the photo's size. Throws NotInBundle where the bundle has no segmentation network. */
  segment(photo: RgbImage, signal?: AbortSignal): Promise<GreyImage>
}

/** A tower with the side of the square picture that it takes, in pixels. */
export interface VisionTower {
  readonly recipe: Recipe
  readonly imageSizePx: number
}

export interface VisionNetworks {
  readonly patchFeatures: VisionTower
  readonly imageEmbedding: VisionTower | null
  readonly segmentation: VisionTower | null
}

export function createVision(pool: NetworkPool, networks: VisionNetworks): Vision {
  const run = async (recipe: Recipe, feeds: Readonly<Record<string, FloatTensor>>, output: string) => {
    const results = await pool.with(recipe, (network) => network.run(feeds))
    const result = results[output]
    if (result?.dtype !== 'float32') throw new TypeError(`${recipe.name}: no output '${output}'`)
    return result
  }
  const see = async (
    { recipe, imageSizePx }: VisionTower,
    picture: RgbImage,
    output: string,
    signal: AbortSignal | undefined,
  ) => {
    const pixels = await clipPixels(picture, imageSizePx)
    signal?.throwIfAborted()
    return run(recipe, { pixels }, output)
  }
  return {
    patchFeatures: (picture, signal) => see(networks.patchFeatures, picture, 'features', signal),
    imageEmbedding: async (picture, signal) => {
      if (!networks.imageEmbedding) throw new NotInBundle('this bundle has no vision tower for image embeddings (vitH)')
      return see(networks.imageEmbedding, picture, 'embedding', signal)
    },
    segment: async (photo, signal) => {
      if (!networks.segmentation) throw new NotInBundle('this bundle has no segmentation network (segmentation)')
      const { recipe, imageSizePx: side } = networks.segmentation
      const small = await resizeBicubic(photo, side, side)
      signal?.throwIfAborted()
      const pictures = floatTensor([1, 3, side, side], toEncoderPlanes(small))
      const { data } = await run(recipe, { pictures }, 'subject')
      return resizePlaneBicubic({ widthPx: side, heightPx: side, pixels: levels(data) }, photo.widthPx, photo.heightPx)
    },
  }
}

/** 0 … 1 in 8 bits. */
function levels(shares: Float32Array): Uint8Array {
  return Uint8Array.from(shares, (share) => Math.round(255 * share))
}

/** A picture as CLIP takes it: padded to a square with CLIP's mean colour, resized bicubically, normalised → [1, 3, S, S]. */
export async function clipPixels(picture: RgbImage, sizePx: number): Promise<FloatTensor> {
  const square = await resizeBicubic(padToSquare(picture), sizePx, sizePx)
  return floatTensor([1, 3, sizePx, sizePx], toNormalizedPlanes(square, clipMean, clipStd))
}
