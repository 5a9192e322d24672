import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bundle } from '../lib/bundles/bundles.ts'
import { BundleError } from '../lib/bundles/errors.ts'
import { type PromptBook, parsePromptLists } from './prompts.ts'

/** The prompts that a bundle brings, or null. Throws `BundleError` where its file is missing or not as it should be. */
export async function bundlePrompts({ manifest, folder }: Bundle): Promise<PromptBook | null> {
  if (manifest.prompts === undefined) return null
  const file = join(folder, manifest.prompts)
  const content = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new BundleError('notPulled', `The bundle ${manifest.name} has no file ${file}.`, { cause: error })
  })
  const lists = parsePromptLists(parseJson(content, file), file)
  return () => lists
}

function parseJson(content: string, file: string): unknown {
  try {
    return JSON.parse(content)
  } catch (error) {
    throw new BundleError('manifest', `${file} is not JSON: ${error instanceof Error ? error.message : error}.`)
  }
}
