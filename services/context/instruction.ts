import { imagePlaceholder, type LlamaTokenizer } from '../lib/tokenizers/llama.ts'
import { checkLabel, checkPrompt, TextError } from '../lib/tokenizers/text.ts'

/** The learnable token: its hidden state becomes the context embedding, so it must be the last one of the sequence. */
const learnableToken = '*'

export interface InstructionIds {
  /** Ids before the picture's patch features; the first one is bos. */
  readonly before: readonly number[]
  /** Ids after them; the last one is the learnable token. */
  readonly after: readonly number[]
}

/**
 * The instruction for the language model (MoMA supplement; LLaVA's `<image>` stands for the patch features).
 * Throws when label or prompt breaks its bounds or names `<image>` itself.
 */
export function instructionText(label: string, prompt: string): string {
  checkLabel(label)
  checkPrompt(prompt)
  for (const [name, text] of Object.entries({ label, prompt })) {
    if (text.includes(imagePlaceholder)) {
      throw new TextError(`${name} holds ${imagePlaceholder}, which stands for the photo; only plain text is allowed`)
    }
  }
  return (
    `USER: ${imagePlaceholder}\n A photo of a ${label}. ` +
    `Describe a new image of the same ${label} in: ${prompt}. ASSISTANT: ${learnableToken}`
  )
}

/**
 * The instruction's ids around a picture of `patchTokens` patch features; throws when the sequence does not end with
 * the learnable token `*`, or is longer than the tokenizer's `maxTokens` with the patches.
 */
export function encodeInstruction(
  tokenizer: LlamaTokenizer,
  label: string,
  prompt: string,
  patchTokens: number,
): InstructionIds {
  const { before, after } = tokenizer.encodeAroundImage(instructionText(label, prompt))
  const last = after.at(-1)
  const piece = last === undefined ? undefined : tokenizer.piece(last)
  // With or without the space before it, as the vocabulary has it.
  if (piece !== `▁${learnableToken}` && piece !== learnableToken) {
    throw new Error(`the instruction ends with the token ${JSON.stringify(piece)}; the learnable token "*" is expected`)
  }
  const length = before.length + patchTokens + after.length
  if (length > tokenizer.maxTokens) {
    throw new Error(
      `the instruction has ${length} tokens, ${patchTokens} of them the photo's; ` +
        `at most ${tokenizer.maxTokens} are allowed, so the prompt must be shorter`,
    )
  }
  return { before, after }
}
