import { specialToken } from './definition.ts'
import { show } from './files.ts'
import { openTokenizer } from './open.ts'
import { checkText, maxTextCharacters } from './text.ts'

export interface ClipEncoding {
  /** bos, the text's tokens, eos, then padding: as many ids as `ClipTokenizer.length`. */
  readonly ids: readonly number[]
  /** Tokens of the whole text, before anything is cut; bos and eos are not counted. */
  readonly tokenCount: number
  /** What was cut off the text's end, as CLIP reads it (lower case, a space after every word), or null. */
  readonly truncated: string | null
}

export interface ClipTokenizer {
  /** Ids in an encoding: 77 for Stable Diffusion. */
  readonly length: number
  readonly bosId: number
  readonly eosId: number
  readonly padId: number
  /** A text of at most 20,000 characters as `length` ids; throws when it is longer or not well-formed Unicode. */
  encode(text: string): ClipEncoding
  /** The text's tokens alone: no bos, eos or padding, nothing cut. Throws as `encode` does. */
  tokenIds(text: string): readonly number[]
  /** Whether the token is the last one of a word (its piece ends with `</w>`). */
  endsWord(id: number): boolean
}

const maxLength = 1024

/**
 * Opens Stable Diffusion's text tokenizer: a folder with tokenizer.json, or vocab.json and merges.txt, and
 * tokenizer_config.json. Throws one sentence with the path when it is another kind, missing or damaged.
 * Ids equal those of transformers 5 `CLIPTokenizer(text, padding="max_length", truncation=True)`; the slow tokenizer of
 * transformers 4 reads Chinese characters, a word's last Σ and control characters otherwise.
 */
export async function openClipTokenizer(folder: string): Promise<ClipTokenizer> {
  const opened = await openTokenizer(folder)
  const { tokenizer, model, path, settings } = opened
  if (model.endOfWordSuffix !== '</w>') {
    throw new Error(`${path}: end_of_word_suffix is ${show(model.endOfWordSuffix)}; CLIP's "</w>" is allowed`)
  }
  const length = settings.model_max_length
  if (typeof length !== 'number' || !Number.isInteger(length) || length < 3 || length > maxLength) {
    throw new Error(
      `${folder}/tokenizer_config.json: model_max_length is ${show(length)}; 3 to ${maxLength} is allowed`,
    )
  }
  const bosId = specialToken(opened, 'bos_token', '<|startoftext|>').id
  const eos = specialToken(opened, 'eos_token', '<|endoftext|>')
  const padId = specialToken(opened, 'pad_token', eos.content).id

  function tokenIds(text: string): readonly number[] {
    checkText('text', text, maxTextCharacters)
    // JavaScript writes a word's last Σ as ς when it lower-cases, the reference never does. No other letter's lower
    // case depends on its neighbours.
    return tokenizer.encode(text.replaceAll('Σ', 'σ'), { add_special_tokens: false }).ids
  }

  return {
    length,
    bosId,
    eosId: eos.id,
    padId,
    tokenIds,
    endsWord: (id) => tokenizer.id_to_token(id)?.endsWith('</w>') ?? false,
    encode(text) {
      const tokens = tokenIds(text)
      const kept = tokens.slice(0, length - 2)
      const cut = tokens.slice(length - 2)
      const padding = Array<number>(length - 2 - kept.length).fill(padId)
      return {
        ids: [bosId, ...kept, eos.id, ...padding],
        tokenCount: tokens.length,
        truncated: cut.length === 0 ? null : tokenizer.decode(cut).trim(),
      }
    },
  }
}
