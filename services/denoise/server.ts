import { denoiseContract } from '../lib/mesh/contracts.ts'
import type { DenoiseResponse } from '../lib/mesh/generated/moma/denoise/v1/DenoiseResponse.ts'
import type { DenoiseServiceHandlers } from '../lib/mesh/generated/moma/denoise/v1/DenoiseService.ts'
import { maskMessage, pictureMessage } from '../lib/mesh/pictures.ts'
import type { Readiness } from '../lib/mesh/readiness.ts'
import { type MeshService, meshService } from '../lib/mesh/service.ts'
import type { Slots } from '../lib/mesh/slots.ts'
import { checkpointMessage } from './checkpoint.ts'
import type { Drawing, DrawingEvent } from './drawing.ts'
import { type NetworkChannels, readRequest } from './request-message.ts'

export interface DenoiseServerOptions extends NetworkChannels {
  readonly drawing: Drawing
  readonly slots: Slots
  readonly readiness: Readiness
}

/** moma.denoise.v1 over a `Drawing`. A call holds its slot to its end; a cancelled one gives it back after the running step. */
export function createDenoiseServer({ drawing, slots, readiness, ...channels }: DenoiseServerOptions): MeshService {
  return meshService<DenoiseServiceHandlers>(
    denoiseContract,
    {
      async *Denoise(message, { signal }) {
        const { request, options } = readRequest(message, channels)
        using _slot = await slots.acquire(signal)
        for await (const event of drawing.draw(request, { ...options, signal })) yield responseOf(event)
      },
    },
    readiness,
  )
}

function responseOf(event: DrawingEvent): DenoiseResponse {
  switch (event.kind) {
    case 'truncated':
      return { truncated: { text: event.text } }
    case 'step': {
      const { step, steps, previews, masks } = event
      return { step: { step, steps, previews: previews.map(pictureMessage), masks: masks.map(maskMessage) } }
    }
    case 'checkpoint':
      return { checkpoint: checkpointMessage(event.state) }
    case 'image': {
      const { index, seed, image, mask } = event
      return { image: { index, seed, picture: pictureMessage(image), mask: maskMessage(mask) } }
    }
  }
}
