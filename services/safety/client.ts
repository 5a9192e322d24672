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
export const judgementMs = 2000

/**
 * `Safety` somewhere else. Throws a MeshError, or the signal's reason; then nothing may be drawn or shown. `deadlineMs` is for
 * the judgement, from when a copy of the service has been picked; for one to be there is waited apart, for `waitMs`.
 */
export function createSafetyClient(options: EndpointOptions & { readonly deadlineMs?: number }): SafetyClient {
  const { deadlineMs: answerMs = judgementMs, waitMs = answerMs } = options
  const client = createMeshClient(safetyContract, { ...options, waitMs, answerMs, deadlineMs: waitMs + answerMs })
  return {
    async reviewSubject(subject, signal) {
      const { reference, mask } = subject
      const request = { subject: subjectMessage({ ...subject, contentHash: subjectHash(reference, mask) }) }
      const { verdict } = await client.unary('ReviewSubject', request, signal)
      return readVerdict(verdict)
    },
    async reviewPrompt({ stage = 'PROMPT', ...words }, signal) {
      const { verdict } = await client.unary('ReviewPrompt', { ...words, stage: `STAGE_${stage}` }, signal)
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
