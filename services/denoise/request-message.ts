import { strengthRange } from '../lib/bundles/manifest.ts'
import { MeshError } from '../lib/mesh/errors.ts'
import { numberField, valueFor, wholeField, wordField } from '../lib/mesh/fields.ts'
import type { DenoiseRequest, DenoiseRequest__Output } from '../lib/mesh/generated/moma/denoise/v1/DenoiseRequest.ts'
import { readSubject, subjectMessage } from '../lib/mesh/pictures.ts'
import { shortest } from '../lib/mesh/single-precision.ts'
import { readTensor, tensorMessage } from '../lib/mesh/tensors.ts'
import { checkPrompt } from '../lib/tokenizers/text.ts'
import { checkpointMessage, readCheckpoint } from './checkpoint.ts'
import type { DrawingOptions, DrawingRequest } from './drawing.ts'

const adapters = { ADAPTER_MOMA: 'moma', ADAPTER_IP_ADAPTER: 'ip-adapter' } as const
const samplers = {
  SAMPLER_DDIM: 'ddim',
  SAMPLER_DPM_SOLVER_PP_2M: 'dpm-solver++',
  SAMPLER_UNIPC: 'unipc',
} as const

/** Picture k takes seed + k, which must stay exact in a number. */
const largestSeed = 2 ** 53 - 65

/** Channels that the service's networks take. */
export interface NetworkChannels {
  readonly latentChannels: number
  readonly embeddingChannels: number
}

export function requestMessage(
  { subject, contextEmbedding, adapter, prompt, negativePrompt, settings, seed, count }: DrawingRequest,
  { resume, checkpointEverySteps = 0, decodePreviewEverySteps = 0 }: DrawingOptions,
): DenoiseRequest {
  const { sampler, steps, guidance, strength, contextScale, masking } = settings
  return {
    subject: subjectMessage(subject),
    contextEmbedding: tensorMessage(contextEmbedding),
    adapter: valueFor(adapters, adapter),
    prompt,
    negativePrompt,
    sampler: valueFor(samplers, sampler),
    steps,
    guidance,
    strength,
    contextScale,
    masking,
    seed,
    count,
    resume: resume ? checkpointMessage(resume) : null,
    checkpointEverySteps,
    decodePreviewEverySteps,
  }
}

/** Throws INVALID_ARGUMENT that names the field, what it was and what it may be. */
export function readRequest(
  message: DenoiseRequest__Output,
  { latentChannels, embeddingChannels }: NetworkChannels,
): { readonly request: DrawingRequest; readonly options: DrawingOptions } {
  const subject = readSubject('subject', message.subject)
  const contextEmbedding = readTensor('context_embedding', message.contextEmbedding, [1, embeddingChannels])
  const adapter = wordField('adapter', message.adapter, adapters)
  const { prompt, negativePrompt } = message
  inField('prompt', () => checkPrompt(prompt))
  inField('negative_prompt', () => checkPrompt(negativePrompt))
  const sampler = wordField('sampler', message.sampler, samplers)
  const steps = wholeField('steps', message.steps, 1, sampler === 'ddim' ? 999 : 998)
  const count = wholeField('count', message.count, 1, 8)
  const number = (field: string, value: number, min: number, max: number) =>
    numberField(field, shortest(value), min, max)
  const settings = {
    sampler,
    steps,
    guidance: number('guidance', message.guidance, 1, 30),
    strength: number('strength', message.strength, strengthRange.min, strengthRange.max),
    contextScale: number('context_scale', message.contextScale, 0, 1),
    masking: message.masking,
  }
  const { widthPx, heightPx } = subject.reference
  const shape = { steps, count, channels: latentChannels, heightPx: heightPx / 8, widthPx: widthPx / 8 }
  return {
    request: {
      subject,
      contextEmbedding,
      adapter,
      prompt,
      negativePrompt,
      settings,
      seed: wholeField('seed', message.seed, 0, largestSeed),
      count,
    },
    options: {
      ...(message.resume ? { resume: readCheckpoint('resume', message.resume, shape) } : {}),
      checkpointEverySteps: wholeField('checkpoint_every_steps', message.checkpointEverySteps, 0, 999),
      decodePreviewEverySteps: wholeField('decode_preview_every_steps', message.decodePreviewEverySteps, 0, 999),
    },
  }
}

/** What is wrong with a text names its field too. */
function inField(field: string, check: () => void): void {
  try {
    check()
  } catch (error) {
    throw new MeshError('INVALID_ARGUMENT', `${field}: ${error instanceof Error ? error.message : error}`, error)
  }
}
