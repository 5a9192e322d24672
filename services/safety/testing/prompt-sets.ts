import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ConfigError } from '../../lib/mesh/config.ts'

const promptSet = z.strictObject({
  category: z.string().min(1).max(80),
  /** Two letters, or several with commas between. */
  language: z.string().min(2).max(40),
  /** Whether the texts are labels, or prompts about a dog. */
  field: z.enum(['label', 'prompt']),
  expect: z.enum(['ALLOWED', 'REJECTED_PERSON', 'REJECTED_CONTENT']),
  texts: z.array(z.string().max(10_000)).min(1).max(10_000),
})

/** Texts of one kind with what the policy says of them. */
export type PromptSet = Readonly<z.infer<typeof promptSet>>

const committed = join(import.meta.dirname, 'prompts.json')

/** Reads prompt sets, the project's own where no file is named. Throws a ConfigError that names the file. */
export function readPromptSets(file: string = committed): readonly PromptSet[] {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new ConfigError(`The prompt sets ${file} can't be read: ${error instanceof Error ? error.message : error}.`)
  }
  const result = z.array(promptSet).min(1).max(1000).safeParse(value)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  throw new ConfigError(`The prompt sets ${file}: ${path.join('.') || 'the document'} is not allowed (${message}).`)
}
