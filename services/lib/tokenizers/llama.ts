import { specialToken } from './definition.ts'
import { openTokenizer } from './open.ts'
import { checkText, maxTextCharacters } from './text.ts'

/** The word that stands for the picture in a prompt (LLaVA `DEFAULT_IMAGE_TOKEN`); it is no token of the vocabulary. */
export const imagePlaceholder = '<image>'

export interface LlamaTokenizer {
  readonly bosId: number
  /** Most tokens in a sequence, the picture's patches counted: 2048 for LLaVA-1.5. */
  readonly maxTokens: number
  /** bos and the text's tokens; throws when the text is too long, not well-formed Unicode, or names a control token. */
  encode(text: string): readonly number[]
  /**
   * The ids before and after the one `<image>` in a prompt, bos at the front of `before` only; throws as `encode` does
   * and when the prompt has not exactly one `<image>`. Each side is read as a text of its own, so each begins with
   * the space that LLaMA puts before a text (LLaVA `tokenizer_image_token`).
   */
  encodeAroundImage(prompt: string): { readonly before: readonly number[]; readonly after: readonly number[] }
  /** The piece of an id, with `▁` for a space, or undefined. */
  piece(id: number): string | undefined
}

/** Where tokenizer_config.json states no length (transformers writes 1e30 then): the length that LLaMA was trained at. */
const defaultMaxTokens = 2048
const largestMaxTokens = 1_000_000

/**
 * Opens the language model's tokenizer: a folder with tokenizer.json or tokenizer.model, and tokenizer_config.json.
 * Throws one sentence with the path when it is another kind, missing or damaged.
 * From tokenizer.model, ids equal those of sentencepiece, which are those of transformers 4 `LlamaTokenizer`.
 */
export async function openLlamaTokenizer(folder: string): Promise<LlamaTokenizer> {
  const opened = await openTokenizer(folder)
  const { tokenizer, model, path, settings, controlTokens } = opened
  if (!model.byteFallback) throw new Error(`${path}: byte_fallback is false; LLaMA's true is allowed`)
  const bosId = specialToken(opened, 'bos_token', '<s>').id
  const { model_max_length: stated } = settings
  const isStated = typeof stated === 'number' && Number.isInteger(stated) && stated > 0 && stated <= largestMaxTokens

  function tokenIds(text: string): readonly number[] {
    checkText('text', text, maxTextCharacters)
    const control = controlTokens.find((token) => text.includes(token))
    if (control !== undefined) throw new Error(`text holds the control token ${control}; only plain text is allowed`)
    return tokenizer.encode(text, { add_special_tokens: false }).ids
  }

  return {
    bosId,
    maxTokens: isStated ? stated : defaultMaxTokens,
    piece: (id) => tokenizer.id_to_token(id),
    encode: (text) => [bosId, ...tokenIds(text)],
    encodeAroundImage(prompt) {
      const [before, after, ...others] = prompt.split(imagePlaceholder)
      if (before === undefined || after === undefined || others.length > 0) {
        const count = prompt.split(imagePlaceholder).length - 1
        throw new Error(`the instruction names ${imagePlaceholder} ${count} times; exactly once is allowed`)
      }
      return { before: [bosId, ...tokenIds(before)], after: tokenIds(after) }
    },
  }
}
