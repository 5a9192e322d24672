import { visionContract } from '../lib/mesh/contracts.ts'
import type { VisionServiceHandlers } from '../lib/mesh/generated/moma/vision/v1/VisionService.ts'
import { maskMessage, readPicture } from '../lib/mesh/pictures.ts'
import type { Readiness } from '../lib/mesh/readiness.ts'
import { type MeshService, meshService } from '../lib/mesh/service.ts'
import type { Slots } from '../lib/mesh/slots.ts'
import { tensorChunks, tensorMessage } from '../lib/mesh/tensors.ts'
import type { Vision } from './vision.ts'

export interface VisionServerOptions {
  readonly vision: Vision
  readonly slots: Slots
  readonly readiness: Readiness
}

/** moma.vision.v1 over a `Vision`. */
export function createVisionServer({ vision, slots, readiness }: VisionServerOptions): MeshService {
  return meshService<VisionServiceHandlers>(
    visionContract,
    {
      async Segment(request, { signal }) {
        const photo = readPicture('photo', request.photo)
        using _slot = await slots.acquire(signal)
        return { mask: maskMessage(await vision.segment(photo, signal)) }
      },
      async *EncodePatches(request, { signal }) {
        const picture = readPicture('picture', request.picture)
        for (const chunk of tensorChunks('features', await encode(picture, signal))) yield { chunk }
      },
      async EmbedImage(request, { signal }) {
        const picture = readPicture('picture', request.picture)
        using _slot = await slots.acquire(signal)
        return { embedding: tensorMessage(await vision.imageEmbedding(picture, signal)) }
      },
    },
    readiness,
  )

  /** The slot is free again before a slow reader has read. */
  async function encode(picture: Parameters<Vision['patchFeatures']>[0], signal: AbortSignal) {
    using _slot = await slots.acquire(signal)
    return vision.patchFeatures(picture, signal)
  }
}
