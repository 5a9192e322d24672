import type { GenerationSettings } from '../../lib/mesh/generated/moma/generation/v1/GenerationSettings.ts'
import type { Problem__Output as Problem } from '../../lib/mesh/generated/moma/generation/v1/Problem.ts'
import type { GenerationContext } from '../subgraph.ts'
import { toProblem } from './problems.ts'

/** `CreateSubjectInput` of the schema. */
export interface CreateSubjectInput {
  readonly uploadId: string
  readonly label: string
  readonly maskUploadId?: string | null
  readonly idempotencyKey?: string | null
}

export async function createSubject(input: CreateSubjectInput, { tenant, generation, signal }: GenerationContext) {
  const { uploadId, label, maskUploadId, idempotencyKey } = input
  const request = {
    tenant,
    uploadId,
    label,
    maskUploadId: maskUploadId ?? '',
    idempotencyKey: idempotencyKey ?? '',
  }
  const answer = await generation.createSubject(request, signal)
  return toProblem(answer.problem) ?? { __typename: 'Subject', ...answer.subject }
}

/** `CreateGenerationInput` of the schema; null and nothing both leave it to the bundle. */
export interface CreateGenerationInput {
  readonly subjectId: string
  readonly prompt: string
  readonly negativePrompt?: string | null
  readonly task?: string | null
  readonly method?: string | null
  readonly sampler?: string | null
  readonly strength?: number | null
  readonly guidance?: number | null
  readonly steps?: number | null
  readonly seed?: number | null
  readonly count?: number | null
  readonly idempotencyKey?: string | null
}

export async function createGeneration(
  input: CreateGenerationInput,
  { tenant, generation, signal }: GenerationContext,
) {
  // Unsigned fields would wrap a negative number around; the other bounds are the service's to check.
  for (const field of ['steps', 'count'] as const) {
    const value = input[field] ?? 1
    if (value < 1) return toProblem(wrongInput(field, value, 'a whole number from 1'))
  }
  const { strength, guidance, steps, seed, count } = input
  const settings: GenerationSettings = {
    prompt: input.prompt,
    negativePrompt: input.negativePrompt ?? '',
    task: `TASK_${input.task ?? 'UNSPECIFIED'}` as NonNullable<GenerationSettings['task']>,
    method: `METHOD_${input.method ?? 'UNSPECIFIED'}` as NonNullable<GenerationSettings['method']>,
    sampler: `SAMPLER_${input.sampler ?? 'UNSPECIFIED'}` as NonNullable<GenerationSettings['sampler']>,
    ...(strength == null ? {} : { strength }),
    ...(guidance == null ? {} : { guidance }),
    ...(steps == null ? {} : { steps }),
    ...(seed == null ? {} : { seed }),
    ...(count == null ? {} : { count }),
  }
  const { subjectId, idempotencyKey } = input
  const request = { tenant, subjectId, settings, idempotencyKey: idempotencyKey ?? '' }
  const answer = await generation.createGeneration(request, signal)
  return toProblem(answer.problem) ?? { __typename: 'Generation', ...answer.generation }
}

/** As the service says it of what reaches it. */
export function wrongInput(field: string, value: number, allowed: string): Problem {
  return { kind: 'invalidInput', invalidInput: { field }, message: `${field} is ${value}, allowed is ${allowed}` }
}
