import { contextContract } from '../lib/mesh/contracts.ts'
import type { EndpointOptions } from '../lib/mesh/endpoints.ts'
import type { EmbedContextRequest } from '../lib/mesh/generated/moma/context/v1/EmbedContextRequest.ts'
import { createMeshClient } from '../lib/mesh/grpc-client.ts'
import { readTensor, tensorChunks } from '../lib/mesh/tensors.ts'
import type { Context, ContextRequest } from './context.ts'

export interface ContextClient extends Context, Disposable {
  /** How many addresses serve now. */
  readonly serving: number
}

/** From a cold start, with 7 billion weights still to be loaded, on a CPU. */
const defaultDeadlineMs = 15 * 60_000

/** `Context` somewhere else. Throws a MeshError, or the signal's reason. */
export function createContextClient(options: EndpointOptions & { readonly deadlineMs?: number }): ContextClient {
  const client = createMeshClient(contextContract, { deadlineMs: defaultDeadlineMs, ...options })
  return {
    async contextEmbedding(request, signal) {
      const { embedding } = await client.clientStream('EmbedContext', () => pieces(request), signal)
      return readTensor('embedding', embedding, [1, null])
    },
    get serving() {
      return client.serving
    },
    [Symbol.dispose]: () => client.dispose(),
  }
}

function* pieces({ features, label, prompt }: ContextRequest): Generator<EmbedContextRequest> {
  yield { question: { label, prompt } }
  for (const chunk of tensorChunks('features', features)) yield { features: chunk }
}
