import type { RgbImage } from '../lib/images/image.ts'
import { resizeBicubic, resizeNearest } from '../lib/images/resize.ts'
import { visionContract } from '../lib/mesh/contracts.ts'
import type { EndpointOptions } from '../lib/mesh/endpoints.ts'
import { createMeshClient } from '../lib/mesh/grpc-client.ts'
import { maxSidePx, pictureMessage, readMask } from '../lib/mesh/pictures.ts'
import { createTensorReader, readTensor } from '../lib/mesh/tensors.ts'
import type { Vision } from './vision.ts'

export interface VisionClient extends Vision, Disposable {
  /** How many addresses serve now. */
  readonly serving: number
}

/** From a cold start, with the tower still to be loaded, on a CPU. */
const defaultDeadlineMs = 5 * 60_000

/** `Vision` somewhere else. Throws a MeshError, or the signal's reason. */
export function createVisionClient(options: EndpointOptions & { readonly deadlineMs?: number }): VisionClient {
  const client = createMeshClient(visionContract, { deadlineMs: defaultDeadlineMs, ...options })
  return {
    async segment(photo, signal) {
      const { mask } = await client.unary('Segment', { photo: pictureMessage(await travelling(photo)) }, signal)
      return resizeNearest(readMask('mask', mask), photo.widthPx, photo.heightPx)
    },
    async patchFeatures(picture, signal) {
      const reader = createTensorReader('features', [1, null, null])
      const request = { picture: pictureMessage(picture) }
      for await (const { chunk } of client.serverStream('EncodePatches', request, signal)) reader.take(chunk)
      return reader.finish()
    },
    async imageEmbedding(picture, signal) {
      const { embedding } = await client.unary('EmbedImage', { picture: pictureMessage(picture) }, signal)
      return readTensor('embedding', embedding, [1, null])
    },
    get serving() {
      return client.serving
    },
    [Symbol.dispose]: () => client.dispose(),
  }
}

/** Photos larger than what travels are sent smaller: a segmentation network sees much fewer pixels anyway. */
async function travelling(photo: RgbImage): Promise<RgbImage> {
  const scale = maxSidePx / Math.max(photo.widthPx, photo.heightPx)
  if (scale >= 1) return photo
  const side = (px: number) => Math.max(1, Math.round(px * scale))
  return resizeBicubic(photo, side(photo.widthPx), side(photo.heightPx))
}
