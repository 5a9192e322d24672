import { safetyContract } from '../lib/mesh/contracts.ts'
import type { SafetyServiceHandlers } from '../lib/mesh/generated/moma/safety/v1/SafetyService.ts'
import { readPicture, readSubject } from '../lib/mesh/pictures.ts'
import type { Readiness } from '../lib/mesh/readiness.ts'
import { type MeshService, meshService } from '../lib/mesh/service.ts'
import type { Slots } from '../lib/mesh/slots.ts'
import { checkLabel, checkPrompt } from '../lib/tokenizers/text.ts'
import type { Safety } from './safety.ts'
import { verdictMessage } from './verdict-message.ts'

export interface SafetyServerOptions {
  readonly safety: Safety
  readonly slots: Slots
  readonly readiness: Readiness
}

/** moma.safety.v1 over a `Safety`. */
export function createSafetyServer({ safety, slots, readiness }: SafetyServerOptions): MeshService {
  return meshService<SafetyServiceHandlers>(
    safetyContract,
    {
      async ReviewSubject(request, { signal }) {
        const subject = readSubject('subject', request.subject)
        using _slot = await slots.acquire(signal)
        return { verdict: verdictMessage(await safety.reviewSubject(subject, signal)) }
      },
      async ReviewPrompt({ label, prompt, negativePrompt }, { signal }) {
        checkLabel(label)
        checkPrompt(prompt)
        checkPrompt(negativePrompt)
        using _slot = await slots.acquire(signal)
        return { verdict: verdictMessage(await safety.reviewPrompt({ label, prompt, negativePrompt }, signal)) }
      },
      async ReviewPicture({ picture: message, label }, { signal }) {
        checkLabel(label)
        const picture = readPicture('picture', message)
        using _slot = await slots.acquire(signal)
        return { verdict: verdictMessage(await safety.reviewPicture({ picture, label }, signal)) }
      },
    },
    readiness,
  )
}
