import { valueFor } from '../../lib/mesh/fields.ts'
import type { Asset } from '../../lib/mesh/generated/moma/generation/v1/Asset.ts'
import type { Generation } from '../../lib/mesh/generated/moma/generation/v1/Generation.ts'
import type {
  GenerationSettings,
  GenerationSettings__Output,
} from '../../lib/mesh/generated/moma/generation/v1/GenerationSettings.ts'
import type { Subject as SubjectMessage } from '../../lib/mesh/generated/moma/generation/v1/Subject.ts'
import { shortest } from '../../lib/mesh/single-precision.ts'
import { verdictMessage } from '../../safety/verdict-message.ts'
import type { WrittenAsset } from '../assets/assets.ts'
import { endProblem, wrongValue } from '../problems.ts'
import { formatCursor, fractionOf, positionOf } from '../progress.ts'
import type { CompleteRequest, GenerationRequest } from '../request.ts'
import { stages } from '../runner/run-store.ts'
import { keptAsset } from '../snapshots.ts'
import type { ImageRow, QueuedGeneration } from '../store/generations.ts'
import type { Subject } from '../store/subjects.ts'
import { methodNames, samplerNames, taskNames } from './names.ts'
import { toTimestamp } from './timestamp.ts'

const asset = (row: WrittenAsset | null): Asset | null => row && keptAsset(row)

export function subjectMessage({ row, image, mask }: Subject): SubjectMessage {
  const { id, label, status, verdict, createdAt } = row
  return {
    id,
    label,
    status: `SUBJECT_STATUS_${status}`,
    image: asset(image),
    mask: asset(mask),
    verdict: verdictMessage(verdict),
    createTime: toTimestamp(createdAt),
  }
}

export function generationMessage(row: QueuedGeneration, images: readonly ImageRow[]): Generation {
  const { id, subjectId, status, stage, attempt, step, request, queuePosition, problem, timings } = row
  const { promptVerdict, unreadPrompt } = row
  const isRunning = status === 'RUNNING' || status === 'CANCELING'
  return {
    id,
    subjectId,
    status: `GENERATION_STATUS_${status}`,
    stage: isRunning && stage !== null ? `STAGE_${stage}` : 'STAGE_UNSPECIFIED',
    settings: settingsMessage(request),
    step,
    fraction: fractionOf({ status, stage, step, steps: request.steps }),
    queuePosition,
    images: images.map(({ row: { id, index, seed, verdict }, image, mask }) => ({
      id,
      index,
      seed,
      image: asset(image),
      mask: asset(mask),
      verdict: verdictMessage(verdict),
    })),
    problem: problem && endProblem(problem),
    promptVerdict: promptVerdict && verdictMessage(promptVerdict),
    ...(unreadPrompt === null ? {} : { unreadPrompt }),
    timings: stages.flatMap((one) => {
      const elapsedMs = timings[one]
      return elapsedMs === undefined ? [] : [{ stage: `STAGE_${one}` as const, elapsedMs }]
    }),
    createTime: toTimestamp(row.createdAt),
    startTime: row.startedAt && toTimestamp(row.startedAt),
    completeTime: row.completedAt && toTimestamp(row.completedAt),
    cursor: formatCursor({ position: positionOf({ attempt, status, stage, step }), event: null }),
  }
}

function settingsMessage(request: CompleteRequest): GenerationSettings {
  const { task, method, sampler, ...same } = request
  return {
    ...same,
    task: valueFor(taskNames, task),
    method: valueFor(methodNames, method),
    sampler: valueFor(samplerNames, sampler),
  }
}

/** What was asked for; single precision becomes the number that was meant. Throws Refused on a word that is none. */
export function readSettings(settings: GenerationSettings__Output): GenerationRequest {
  const { prompt, negativePrompt, strength, guidance, steps, seed, count } = settings
  return {
    prompt,
    negativePrompt,
    ...word('task', taskNames, settings.task),
    ...word('method', methodNames, settings.method),
    ...word('sampler', samplerNames, settings.sampler),
    ...(strength === undefined ? {} : { strength: shortest(strength) }),
    ...(guidance === undefined ? {} : { guidance: shortest(guidance) }),
    ...(steps === undefined ? {} : { steps }),
    ...(seed === undefined ? {} : { seed: Number(seed) }),
    ...(count === undefined ? {} : { count }),
  }
}

function word<Name extends string, Word extends string>(
  name: Name,
  words: Readonly<Record<string, Word>>,
  value: string,
): { readonly [key in Name]?: Word } {
  if (value.endsWith('_UNSPECIFIED')) return {}
  const found = Object.hasOwn(words, value) ? words[value] : undefined
  if (found === undefined) throw wrongValue(name, value, Object.keys(words).join(', '))
  return { [name]: found } as { readonly [key in Name]?: Word }
}
