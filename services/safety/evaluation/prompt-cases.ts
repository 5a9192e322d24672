import type { Safety } from '../safety.ts'
import type { PromptSet } from '../testing/prompt-sets.ts'
import { type Case, type CaseSet, judged } from './evaluation.ts'

/** What prompts are about where a set is of prompts. */
const subjectLabel = 'dog'

/** Every text of the sets through the words' gate, in their order. */
export async function judgePrompts(safety: Safety, sets: readonly PromptSet[]): Promise<CaseSet[]> {
  const judgedSets: CaseSet[] = []
  for (const { category, language, field, expect, texts } of sets) {
    const cases: Case[] = []
    for (const text of texts) {
      const words =
        field === 'label'
          ? { label: text, prompt: '', negativePrompt: '' }
          : { label: subjectLabel, prompt: text, negativePrompt: '' }
      cases.push(await judged(text, expect, () => safety.reviewPrompt(words)))
    }
    judgedSets.push({ name: `${category} (${field}, ${language})`, cases })
  }
  return judgedSets
}
