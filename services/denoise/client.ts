import { denoiseContract } from '../lib/mesh/contracts.ts'
import type { EndpointOptions } from '../lib/mesh/endpoints.ts'
import { MeshError } from '../lib/mesh/errors.ts'
import type { DenoiseResponse__Output } from '../lib/mesh/generated/moma/denoise/v1/DenoiseResponse.ts'
import { createMeshClient } from '../lib/mesh/grpc-client.ts'
import { readMask, readPicture } from '../lib/mesh/pictures.ts'
import { readCheckpoint } from './checkpoint.ts'
import type { Drawing, DrawingEvent } from './drawing.ts'
import { requestMessage } from './request-message.ts'

export interface DrawingClient extends Drawing, Disposable {
  /** How many addresses serve now. */
  readonly serving: number
}

/** Eight pictures in a thousand steps on a CPU, after a wait for a slot; a server ends calls at four hours too. */
const defaultDeadlineMs = 4 * 3600 * 1000

/** `Drawing` somewhere else. Throws a MeshError, or the signal's reason. */
export function createDrawingClient(options: EndpointOptions & { readonly deadlineMs?: number }): DrawingClient {
  const client = createMeshClient(denoiseContract, { deadlineMs: defaultDeadlineMs, ...options })
  return {
    async *draw(request, drawing = {}) {
      const message = requestMessage(request, drawing)
      for await (const response of client.serverStream('Denoise', message, drawing.signal)) {
        yield eventOf(response, request.settings.steps)
      }
    },
    get serving() {
      return client.serving
    },
    [Symbol.dispose]: () => client.dispose(),
  }
}

function eventOf({ truncated, step, checkpoint, image }: DenoiseResponse__Output, steps: number): DrawingEvent {
  if (truncated) return { kind: 'truncated', text: truncated.text }
  if (step) {
    const previews = step.previews.map((preview) => readPicture('previews', preview))
    const masks = step.masks.map((mask) => readMask('masks', mask))
    // Masks are a pixel a latent, always.
    const previewKind = previews[0]?.widthPx === masks[0]?.widthPx ? 'latents' : 'decoded'
    return { kind: 'step', step: step.step, steps: step.steps, previews, previewKind, masks }
  }
  if (checkpoint) {
    const anyShape = { steps, count: null, channels: null, heightPx: null, widthPx: null }
    return { kind: 'checkpoint', state: readCheckpoint('checkpoint', checkpoint, anyShape) }
  }
  if (image) {
    const { index, seed, picture, mask } = image
    return { kind: 'image', index, seed, image: readPicture('picture', picture), mask: readMask('mask', mask) }
  }
  throw new MeshError('INTERNAL', 'denoise answered something unknown')
}
