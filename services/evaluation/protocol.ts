import { createHash } from 'node:crypto'
import type { Method } from '../generation/request.ts'
import { fillPrompt, type PromptBook, type PromptKind, type PromptTemplate, promptKinds } from './prompts.ts'

/** What the draws need to know of a thing. */
export interface DrawnSubject {
  /** The name of its folder, which no other has. */
  readonly name: string
  readonly label: string
  readonly class: string
}

export interface DrawOptions {
  readonly seed: number
  readonly methods: readonly Method[]
  /** Prompts of each kind a subject, drawn without repetition; null for all. */
  readonly promptsPerKind: number | null
  /** Pictures of a prompt: 1 … 8. */
  readonly count: number
}

/** One request of the evaluation: what is drawn in one batch. */
export interface Unit {
  readonly subject: string
  readonly label: string
  readonly kind: PromptKind
  readonly promptKey: string
  readonly prompt: string
  readonly method: Method
  /** Of the first picture; the others count up. */
  readonly seed: number
  readonly count: number
}

/**
 * Everything that is to be drawn: subject by subject, so that what a subject's pictures share is computed once, and
 * every method with the same prompts and seeds. A subject's draws depend on its name, the seed and the prompts alone:
 * more subjects or methods leave them as they are.
 */
export function drawUnits(subjects: readonly DrawnSubject[], book: PromptBook, options: DrawOptions): Unit[] {
  return subjects.flatMap((subject) =>
    promptKinds.flatMap((kind) =>
      drawPrompts(book(subject.class)[kind], subject.name, kind, options).flatMap((template) => {
        const { name, label } = subject
        const prompt = fillPrompt(template, label)
        const seed = drawSeed(options.seed, name, prompt)
        return options.methods.map((method) => ({
          subject: name,
          label,
          kind,
          promptKey: template.key,
          prompt,
          method,
          seed,
          count: options.count,
        }))
      }),
    ),
  )
}

function drawPrompts(
  templates: readonly PromptTemplate[],
  subject: string,
  kind: PromptKind,
  { seed, promptsPerKind }: DrawOptions,
): readonly PromptTemplate[] {
  if (promptsPerKind === null) return templates
  const rank = ({ key }: PromptTemplate) => draw(seed, subject, kind, key).readUIntBE(0, 6)
  const chosen = new Set([...templates].sort((a, b) => rank(a) - rank(b)).slice(0, promptsPerKind))
  return templates.filter((template) => chosen.has(template))
}

/** 31 bits: torch's generator reads no more than 32 of a seed, and further pictures count up. */
function drawSeed(seed: number, subject: string, prompt: string): number {
  return draw(seed, subject, prompt).readUInt32BE(0) >>> 1
}

function draw(...parts: readonly (string | number)[]): Buffer {
  return createHash('sha256').update(JSON.stringify(parts)).digest()
}
