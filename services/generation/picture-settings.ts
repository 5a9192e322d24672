import type { Setting } from '../lib/images/provenance.ts'
import type { CompleteRequest } from './request.ts'

/** What a picture says of how it was made, beside its seed: enough to make it again. */
export function pictureSettings(
  bundle: string,
  label: string,
  { prompt, negativePrompt, task, method, strength, guidance, steps, sampler }: CompleteRequest,
): Record<string, Setting> {
  return {
    bundle,
    label,
    prompt,
    ...(negativePrompt === '' ? {} : { negativePrompt }),
    task,
    method,
    strength,
    guidance,
    steps,
    sampler,
  }
}
