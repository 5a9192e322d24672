import { isSamplerName, type SamplerName, samplerNames } from '../denoise/samplers/sampler.ts'
import type { Settings } from '../lib/bundles/manifest.ts'
import { strengthRange } from '../lib/bundles/manifest.ts'
import { checkPrompt, checkText, maxPromptCharacters } from '../lib/tokenizers/text.ts'

/** A new place for the subject, or a new material. */
export type Task = 'recontextualize' | 'retexture'

/**
 * MoMA, and what it is compared with: IP-Adapter (the photo's own image embedding, no subject branch, no mask), and
 * MoMA without one of its parts. `no-mllm` takes the image embedding of the subject on white in the context
 * embedding's place.
 */
export const methods = ['moma', 'ip-adapter', 'no-mask', 'no-subject', 'no-mllm'] as const
export type Method = (typeof methods)[number]

/** What may be asked for one picture or several of a subject; what is left out the bundle decides. */
export interface GenerationRequest {
  readonly prompt: string
  readonly negativePrompt?: string
  readonly task?: Task
  readonly method?: Method
  readonly strength?: number
  readonly guidance?: number
  readonly steps?: number
  readonly sampler?: SamplerName
  readonly seed?: number
  readonly count?: number
}

export type CompleteRequest = Required<GenerationRequest>

/** A value that is not allowed: which field, what it was, what it may be. */
export class InvalidInput extends Error {
  override readonly name = 'InvalidInput'
  readonly field: string

  constructor(field: string, value: unknown, allowed: string) {
    super(
      `${field} is ${typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : String(value)}, allowed is ${allowed}`,
    )
    this.field = field
  }
}

/** Image k of a request takes seed + k, which must stay exact in a number. */
const largestSeed = 2 ** 53 - 1 - 64

/** Fills in the bundle's settings and checks every field. Throws InvalidInput, or a RangeError on label or prompt bounds. */
export function completeRequest(request: GenerationRequest, settings: Settings): CompleteRequest {
  const task = oneOf('task', request.task ?? 'recontextualize', ['recontextualize', 'retexture'] as const)
  const sampler = request.sampler ?? 'ddim'
  if (!isSamplerName(sampler)) throw new InvalidInput('sampler', sampler, samplerNames.join(', '))
  checkPrompt(request.prompt)
  if (request.prompt.trim() === '') throw new InvalidInput('prompt', request.prompt, 'a sentence of what to show')
  checkText('negativePrompt', request.negativePrompt ?? '', maxPromptCharacters)
  return {
    prompt: request.prompt,
    negativePrompt: request.negativePrompt ?? '',
    task,
    method: oneOf('method', request.method ?? 'moma', methods),
    strength: inRange('strength', request.strength ?? settings.strength[task], strengthRange.min, strengthRange.max),
    guidance: inRange('guidance', request.guidance ?? settings.guidance, 1, 30),
    steps: checkWhole('steps', request.steps ?? settings.steps, 1, sampler === 'ddim' ? 999 : 998),
    sampler,
    seed: checkWhole('seed', request.seed ?? 0, 0, largestSeed),
    count: checkWhole('count', request.count ?? 1, 1, 8),
  }
}

/** The working size in pixels; the UNet halves it six times. Throws InvalidInput. */
export function checkSize(sizePx: number): number {
  if (Number.isInteger(sizePx) && sizePx % 64 === 0 && sizePx >= 64 && sizePx <= 1024) return sizePx
  throw new InvalidInput('size', sizePx, 'a multiple of 64 from 64 to 1024 pixels')
}

function oneOf<T extends string>(field: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value)
  if (found === undefined) throw new InvalidInput(field, value, allowed.join(', '))
  return found
}

function inRange(field: string, value: number, min: number, max: number): number {
  if (Number.isFinite(value) && value >= min && value <= max) return value
  throw new InvalidInput(field, value, `a number from ${min} to ${max}`)
}

/** Throws InvalidInput. */
export function checkWhole(field: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw new InvalidInput(field, value, `a whole number from ${min} to ${max}`)
}
