import type { Context } from '../context/context.ts'
import type { Drawing, DrawingEvent, DrawingOptions, DrawingRequest } from '../denoise/drawing.ts'
import type { Settings } from '../lib/bundles/manifest.ts'
import { type ContentCache, contentHash } from '../lib/content-cache.ts'
import type { FloatTensor } from '../lib/runtime/tensor.ts'
import type { Vision } from '../vision/vision.ts'
import { abortable } from './abortable.ts'
import { type CompleteRequest, checkWhole } from './request.ts'
import type { Subject } from './subject.ts'

/** The services that a generation is walked through: in this process, or clients of theirs. */
export interface Services {
  readonly vision: Vision
  readonly context: Context
  readonly drawing: Drawing
}

export type Stage = 'VISION' | 'CONTEXT' | 'DENOISE' | 'DECODE'

export type GenerationEvent = { readonly kind: 'stage'; readonly stage: Stage } | DrawingEvent

export type GenerateOptions = DrawingOptions

export interface Pipeline {
  generate(subject: Subject, request: CompleteRequest, options?: GenerateOptions): AsyncGenerator<GenerationEvent>
}

/** `cache` keeps what other prompts or seeds of a subject need again; see `featureBytes`. */
export function createPipeline(
  services: Services,
  settings: Pick<Settings, 'ipAdapterScale'>,
  cache: ContentCache<FloatTensor>,
): Pipeline {
  const { vision, context, drawing } = services

  // Without the caller's signal: what is made serves everybody who waits for it, and the next who asks.
  const cached = (key: readonly string[], make: () => Promise<FloatTensor>) => cache.get(contentHash(...key), make)

  /** What is seen in the subject's photo: patch features for the MLLM, or what stands in the context embedding's place [1, E]. */
  const look = (subject: Subject, method: CompleteRequest['method']): Promise<FloatTensor> => {
    const { contentHash: photo } = subject
    if (method === 'ip-adapter')
      return cached(['photo embedding', photo], () => vision.imageEmbedding(subject.reference))
    if (method === 'no-mllm') return cached(['subject embedding', photo], () => vision.imageEmbedding(subject.onWhite))
    return cached(['patch features', photo], () => vision.patchFeatures(subject.onWhite))
  }

  /** What stands for the picture to be [1, E]. */
  const contextEmbedding = (subject: Subject, { method, prompt }: CompleteRequest, seen: FloatTensor) => {
    if (method === 'ip-adapter' || method === 'no-mllm') return Promise.resolve(seen)
    const { contentHash: photo, label } = subject
    return cached(['context', photo, label, prompt], () => context.contextEmbedding({ features: seen, label, prompt }))
  }

  return {
    async *generate(subject, request, options = {}) {
      const { signal, resume } = options
      checkWhole('decodePreviewEverySteps', options.decodePreviewEverySteps ?? 0, 0, 1000)
      yield { kind: 'stage', stage: 'VISION' }
      signal?.throwIfAborted()
      const seen = await abortable(look(subject, request.method), signal)

      yield { kind: 'stage', stage: 'CONTEXT' }
      signal?.throwIfAborted()
      const embedding = await abortable(contextEmbedding(subject, request, seen), signal)

      yield { kind: 'stage', stage: 'DENOISE' }
      const isLast = (step: number | undefined) => step === request.steps
      if (isLast(resume?.step)) yield { kind: 'stage', stage: 'DECODE' }
      for await (const event of drawing.draw(drawingRequest(subject, request, embedding, settings), options)) {
        yield event
        if (event.kind === 'step' && isLast(event.step)) yield { kind: 'stage', stage: 'DECODE' }
      }
    },
  }
}

/** What a tensor takes of the cache's bound. */
export function featureBytes({ data }: FloatTensor): number {
  return data.byteLength
}

/** The switches of the baselines and ablations: all run through the same graphs. */
function drawingRequest(
  { reference, mask, label, contentHash: hash }: Subject,
  request: CompleteRequest,
  contextEmbedding: FloatTensor,
  { ipAdapterScale }: Pick<Settings, 'ipAdapterScale'>,
): DrawingRequest {
  const { method, prompt, negativePrompt, sampler, steps, guidance, strength, seed, count } = request
  return {
    subject: { reference, mask, label, contentHash: hash },
    contextEmbedding,
    adapter: method === 'ip-adapter' ? 'ip-adapter' : 'moma',
    prompt,
    negativePrompt,
    settings: {
      sampler,
      steps,
      guidance,
      strength: method === 'ip-adapter' || method === 'no-subject' ? 0 : strength,
      contextScale: method === 'ip-adapter' ? ipAdapterScale : 1,
      masking: method !== 'ip-adapter' && method !== 'no-mask',
    },
    seed,
    count,
  }
}
