import type { ClipTokenizer } from '../lib/tokenizers/clip.ts'
import { checkLabel, checkPrompt, TextError } from '../lib/tokenizers/text.ts'

/**
 * Which tokens stand for the subject. `all-tokens`: every token of every whole word of the noun. `first-token`: every
 * token that is the first one of a word of the noun, wherever it stands, as the authors' released code counts.
 */
export type SubjectTokenRule = 'all-tokens' | 'first-token'

/** The text that is denoised towards; throws when label or prompt breaks its bounds. */
export function subjectPrompt(label: string, prompt: string): string {
  checkLabel(label)
  checkPrompt(prompt)
  return `photo of a ${label}. ${prompt}`
}

/**
 * The positions in `encode(text).ids`, ascending, of the tokens of the subject noun `label`, wherever it stands in
 * `text`; throws, naming label and text, when a word of the noun is nowhere in it (cut away at the end, for one).
 *
 * The tokenizer folds case, accents' forms and white space and splits signs off, so `dog` is found in `Dog.`, `dog's`
 * and `hot-dog`. Under `all-tokens` a word is a run of letters and digits and matches whole words only: not `dogs`,
 * which is another word, and not the end of `bulldog`; signs within the noun (`teddy-bear`) don't count.
 * Under `first-token` words are what stands between spaces.
 */
export function subjectTokenPositions(
  tokenizer: ClipTokenizer,
  label: string,
  text: string,
  rule: SubjectTokenRule,
): readonly number[] {
  checkLabel(label)
  const { ids, tokenCount } = tokenizer.encode(text)
  const end = 1 + Math.min(tokenCount, tokenizer.length - 2)
  const words = rule === 'all-tokens' ? label.normalize('NFC').match(/[\p{L}\p{N}]+/gu) : label.trim().split(/\s+/)
  if (!words) throw new TextError(`label ${JSON.stringify(label)} has no letter or digit to look for in the prompt`)
  const positions = new Set<number>()
  for (const word of words) {
    const tokens = tokenizer.tokenIds(word)
    const wanted = rule === 'all-tokens' ? tokens : tokens.slice(0, 1)
    const found = occurrences(ids.slice(0, end), wanted).filter(
      (start) => rule === 'first-token' || start === 1 || tokenizer.endsWord(ids[start - 1]!),
    )
    if (found.length === 0) {
      throw new TextError(
        `${JSON.stringify(word)} of the label ${JSON.stringify(label)} is not among the first ${tokenizer.length} ` +
          `tokens of the prompt ${JSON.stringify(text)}`,
      )
    }
    for (const start of found) for (let i = 0; i < wanted.length; i++) positions.add(start + i)
  }
  return [...positions].sort((a, b) => a - b)
}

/** Where `wanted` stands as a run in `ids`, from position 1 on (0 is bos). */
function occurrences(ids: readonly number[], wanted: readonly number[]): number[] {
  const starts: number[] = []
  if (wanted.length === 0) return starts
  for (let start = 1; start + wanted.length <= ids.length; start++) {
    if (wanted.every((id, i) => ids[start + i] === id)) starts.push(start)
  }
  return starts
}
