import { contextContract } from '../lib/mesh/contracts.ts'
import { invalid } from '../lib/mesh/errors.ts'
import type { ContextServiceHandlers } from '../lib/mesh/generated/moma/context/v1/ContextService.ts'
import type { EmbedContextRequest__Output } from '../lib/mesh/generated/moma/context/v1/EmbedContextRequest.ts'
import type { Readiness } from '../lib/mesh/readiness.ts'
import { type MeshService, meshService } from '../lib/mesh/service.ts'
import type { Slots } from '../lib/mesh/slots.ts'
import { createTensorReader, tensorMessage } from '../lib/mesh/tensors.ts'
import { checkLabel, checkPrompt } from '../lib/tokenizers/text.ts'
import type { Context, ContextRequest } from './context.ts'

export interface ContextServerOptions {
  readonly context: Context
  /** Channels of the patch features that its network takes. */
  readonly featureChannels: number
  readonly slots: Slots
  readonly readiness: Readiness
}

/** moma.context.v1 over a `Context`. */
export function createContextServer({ context, featureChannels, slots, readiness }: ContextServerOptions): MeshService {
  return meshService<ContextServiceHandlers>(
    contextContract,
    {
      async EmbedContext(requests, { signal }) {
        const request = await readRequest(requests, featureChannels)
        using _slot = await slots.acquire(signal)
        return { embedding: tensorMessage(await context.contextEmbedding(request, signal)) }
      },
    },
    readiness,
  )
}

async function readRequest(
  requests: AsyncIterable<EmbedContextRequest__Output>,
  featureChannels: number,
): Promise<ContextRequest> {
  const features = createTensorReader('features', [1, null, featureChannels])
  let words: { readonly label: string; readonly prompt: string } | undefined
  for await (const { question, features: chunk } of requests) {
    if (question) {
      if (words) throw invalid('question', 'sent twice', 'one, before the features')
      words = question
      checkLabel(words.label)
      checkPrompt(words.prompt)
    } else {
      if (!words) throw invalid('question', 'missing', 'one, before the features')
      features.take(chunk)
    }
  }
  if (!words) throw invalid('question', 'missing', 'one, before the features')
  return { features: features.finish(), label: words.label, prompt: words.prompt }
}
