import { safetyContract } from '../lib/mesh/contracts.ts'
import type { SafetyServiceHandlers } from '../lib/mesh/generated/moma/safety/v1/SafetyService.ts'
import { readPicture, readSubject } from '../lib/mesh/pictures.ts'
import type { Readiness } from '../lib/mesh/readiness.ts'
import { type MeshService, meshService } from '../lib/mesh/service.ts'
import type { Slots } from '../lib/mesh/slots.ts'
import { checkLabel, checkPrompt } from '../lib/tokenizers/text.ts'
import { noSafetyMetrics, type SafetyMetrics } from './metrics.ts'
import type { Safety, SafetyStage } from './safety.ts'
import { verdictMessage } from './verdict-message.ts'

export interface SafetyServerOptions {
  readonly safety: Safety
  readonly slots: Slots
  readonly readiness: Readiness
  /** Told of those whose turn never comes; `safety` counts the others. */
  readonly metrics?: SafetyMetrics
}

/** moma.safety.v1 over a `Safety`. */
export function createSafetyServer({
  safety,
  slots,
  readiness,
  metrics = noSafetyMetrics,
}: SafetyServerOptions): MeshService {
  const turn = async (gate: SafetyStage, signal: AbortSignal) => {
    try {
      return await slots.acquire(signal)
    } catch (error) {
      metrics.failed(gate, error, signal)
      throw error
    }
  }
  return meshService<SafetyServiceHandlers>(
    safetyContract,
    {
      async ReviewSubject(request, { signal }) {
        const subject = readSubject('subject', request.subject)
        using _slot = await turn('SUBJECT', signal)
        return { verdict: verdictMessage(await safety.reviewSubject(subject, signal)) }
      },
      async ReviewPrompt({ label, prompt, negativePrompt, stage: asking }, { signal }) {
        checkLabel(label)
        checkPrompt(prompt)
        checkPrompt(negativePrompt)
        const stage = asking === 'STAGE_SUBJECT' ? 'SUBJECT' : 'PROMPT'
        // A label alone is read in no time, and whoever sends a photo is not to wait for networks to hear of it.
        using _slot = stage === 'SUBJECT' ? null : await turn(stage, signal)
        return { verdict: verdictMessage(await safety.reviewPrompt({ label, prompt, negativePrompt, stage }, signal)) }
      },
      async ReviewPicture({ picture: message, label }, { signal }) {
        checkLabel(label)
        const picture = readPicture('picture', message)
        using _slot = await turn('PICTURE', signal)
        return { verdict: verdictMessage(await safety.reviewPicture({ picture, label }, signal)) }
      },
    },
    readiness,
  )
}
