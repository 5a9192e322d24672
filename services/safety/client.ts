import { subjectHash } from '../lib/content-cache.ts'
import { safetyContract } from '../lib/mesh/contracts.ts'
import type { EndpointOptions } from '../lib/mesh/endpoints.ts'
import { createMeshClient } from '../lib/mesh/grpc-client.ts'
import { pictureMessage, subjectMessage } from '../lib/mesh/pictures.ts'
import type { Safety } from './safety.ts'
import { readVerdict } from './verdict-message.ts'

export interface SafetyClient extends Safety, Disposable {
  /** How many addresses serve now. */
  readonly serving: number
}

/** A judgement that takes longer is none: whoever waits for it fails closed. */
const defaultDeadlineMs = 2000

/** `Safety` somewhere else. Throws a MeshError, or the signal's reason; then nothing may be drawn or shown. */
export function createSafetyClient(options: EndpointOptions & { readonly deadlineMs?: number }): SafetyClient {
  const deadlineMs = options.deadlineMs ?? defaultDeadlineMs
  const client = createMeshClient(safetyContract, { waitMs: deadlineMs, ...options, deadlineMs })
  return {
    async reviewSubject(subject, signal) {
      const { reference, mask } = subject
      const request = { subject: subjectMessage({ ...subject, contentHash: subjectHash(reference, mask) }) }
      const { verdict } = await client.unary('ReviewSubject', request, signal)
      return readVerdict(verdict)
    },
    async reviewPrompt(words, signal) {
      const { verdict } = await client.unary('ReviewPrompt', words, signal)
      return readVerdict(verdict)
    },
    async reviewPicture({ picture, label }, signal) {
      const { verdict } = await client.unary('ReviewPicture', { picture: pictureMessage(picture), label }, signal)
      return readVerdict(verdict)
    },
    get serving() {
      return client.serving
    },
    [Symbol.dispose]: () => client.dispose(),
  }
}
