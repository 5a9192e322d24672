import type { DenoiseState } from '../../denoise/denoise.ts'
import { startFromSeed } from '../../denoise/denoiser.ts'
import type { Drawing, DrawingOptions, DrawingRequest } from '../../denoise/drawing.ts'
import { subjectHash } from '../../lib/content-cache.ts'
import { whiteBackground } from '../../lib/images/geometry.ts'
import type { RgbImage } from '../../lib/images/image.ts'
import { floatTensor, itemOf } from '../../lib/runtime/tensor.ts'
import type { Safety, Verdict } from '../../safety/safety.ts'
import type { Services } from '../pipeline.ts'
import type { Subject } from '../subject.ts'

const sidePx = 64

/** A dark square on a bright ground. */
export function testSubject(): Subject {
  const isSubject = (place: number) => place % sidePx > 20 && place % sidePx < 40
  const size = { widthPx: sidePx, heightPx: sidePx }
  const mask = { ...size, pixels: Uint8Array.from({ length: sidePx ** 2 }, (_, place) => (isSubject(place) ? 255 : 0)) }
  const reference: RgbImage = { ...size, pixels: mask.pixels.length ? grey(mask.pixels) : mask.pixels, alpha: null }
  return {
    label: 'dog',
    reference,
    mask,
    onWhite: whiteBackground(reference, mask),
    contentHash: subjectHash(reference, mask),
  }
}

const grey = (plane: Uint8Array) =>
  Uint8Array.from({ length: plane.length * 3 }, (_, index) => plane[Math.floor(index / 3)]!)

export interface TestDrawing extends Drawing {
  /** Each call: where it began and which steps it did. */
  readonly calls: { readonly from: number; readonly steps: number[]; ended: boolean }[]
  /** Awaited before each step; what it throws, the drawing throws. */
  beforeStep: (step: number, signal: AbortSignal | undefined) => Promise<void>
}

/** Draws without networks; every step depends on all before it, so that a wrong resumption shows in the picture. */
export function createTestDrawing(): TestDrawing {
  const drawing: TestDrawing = {
    calls: [],
    beforeStep: async () => undefined,
    async *draw({ settings: { steps }, seed, count }: DrawingRequest, options: DrawingOptions = {}) {
      const { signal, resume, checkpointEverySteps = 0 } = options
      let state: DenoiseState = resume ?? startFromSeed(seed, count, 4, sidePx, sidePx)
      const call = { from: state.step, steps: [] as number[], ended: false }
      drawing.calls.push(call)
      try {
        while (state.step < steps) {
          const step = state.step + 1
          await drawing.beforeStep(step, signal)
          signal?.throwIfAborted()
          state = {
            ...state,
            step,
            latents: floatTensor(
              state.latents.shape,
              state.latents.data.map((x) => Math.sin(3 * x + step)),
            ),
          }
          call.steps.push(step)
          yield {
            kind: 'step',
            step,
            steps,
            previews: pictures(state, 8),
            previewKind: 'latents',
            masks: pictures(state, 8).map(plane),
          }
          if (checkpointEverySteps > 0 && step % checkpointEverySteps === 0) yield { kind: 'checkpoint', state }
        }
        for (const [index, image] of pictures(state, 8).entries()) {
          signal?.throwIfAborted()
          yield { kind: 'image', index, seed: seed + index, image, mask: plane(image) }
        }
      } finally {
        call.ended = true
      }
    },
  }
  return drawing
}

function pictures({ latents }: DenoiseState, side: number): RgbImage[] {
  return Array.from({ length: latents.shape[0]! }, (_, index) => {
    const { data } = itemOf(latents, index)
    const pixels = Uint8Array.from({ length: side * side * 3 }, (_, place) => 127 + 127 * data[place]!)
    return { widthPx: side, heightPx: side, pixels, alpha: null }
  })
}

const plane = ({ widthPx, heightPx, pixels }: RgbImage) => ({
  widthPx,
  heightPx,
  pixels: pixels.slice(0, widthPx * heightPx),
})

export function createTestServices(drawing: Drawing): Services {
  return {
    drawing,
    vision: {
      patchFeatures: async () => floatTensor([1, 2, 3]),
      imageEmbedding: async () => floatTensor([1, 3]),
      segment: async (photo) => plane(photo),
    },
    context: { contextEmbedding: async () => floatTensor([1, 3]) },
  }
}

export const allowed: Verdict = { decision: 'ALLOWED', findings: [], policyVersion: 'test' }

export function rejected(reason: string): Verdict {
  const finding = { stage: 'PICTURE', detector: 'test', reason, score: 1, threshold: 0.5, region: null } as const
  return { decision: 'REJECTED_CONTENT', findings: [finding], policyVersion: 'test' }
}

export const lenient: Safety = {
  reviewSubject: async () => allowed,
  reviewPrompt: async () => allowed,
  reviewPicture: async () => allowed,
}
