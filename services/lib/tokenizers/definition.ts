import { Tokenizer } from '@huggingface/tokenizers'
import { isObject, type JsonObject, show } from './files.ts'

/** A byte-pair model as tokenizer.json writes it, checked: every id is used once and every merge leads to a piece. */
export interface BytePairModel {
  readonly vocab: Readonly<Record<string, number>>
  readonly merges: readonly (readonly [string, string])[]
  readonly endOfWordSuffix: string
  readonly byteFallback: boolean
}

/** An opened tokenizer: the library's, and the facts about its model that the rules of CLIP and LLaMA stand on. */
export interface OpenedTokenizer {
  /** The file that the definition came from, for messages. */
  readonly path: string
  readonly tokenizer: Tokenizer
  readonly model: BytePairModel
  /** Contents of the control tokens, such as `</s>`, that a text can name. */
  readonly controlTokens: readonly string[]
  /** tokenizer_config.json over special_tokens_map.json. */
  readonly settings: JsonObject
}

const maxVocabulary = 1_000_000

/** Opens a definition in the form of tokenizer.json; throws one sentence that begins with `path` when it is damaged. */
export function openDefinition(definition: JsonObject, path: string, settings: JsonObject): OpenedTokenizer {
  if (!isObject(definition.model)) throw new Error(`${path}: model is ${show(definition.model)}; an object is expected`)
  const model = checkModel(definition.model, path)
  const added = checkAddedTokens(definition.added_tokens, path)
  const json = {
    ...definition,
    added_tokens: added,
    // The oldest files leave the type out, and the library would then guess.
    model: { ...definition.model, type: 'BPE', merges: model.merges },
  }
  return {
    path,
    tokenizer: construct(json, path),
    model,
    controlTokens: added.filter((token) => token.special).map((token) => token.content),
    settings,
  }
}

function construct(json: JsonObject, path: string): Tokenizer {
  try {
    return new Tokenizer(json, { clean_up_tokenization_spaces: false })
  } catch (error) {
    throw new Error(`${path} is not a tokenizer that can be used: ${error instanceof Error ? error.message : error}`)
  }
}

function checkModel(model: JsonObject, path: string): BytePairModel {
  const type = model.type ?? 'BPE'
  if (type !== 'BPE') throw new Error(`${path}: model.type is ${show(type)}; only "BPE" is allowed`)
  const vocab = checkVocabulary(model.vocab, path)
  return {
    vocab,
    merges: checkMerges(model.merges, vocab, path),
    endOfWordSuffix: typeof model.end_of_word_suffix === 'string' ? model.end_of_word_suffix : '',
    byteFallback: model.byte_fallback === true,
  }
}

/** The pieces with their ids; throws unless every id is a whole number below one million that no other piece has. */
export function checkVocabulary(value: unknown, path: string): Readonly<Record<string, number>> {
  if (!isObject(value)) throw new Error(`${path}: the vocabulary is ${show(value)}; an object of ids is expected`)
  const vocab: Record<string, number> = Object.create(null)
  const seen = new Set<number>()
  for (const [piece, id] of Object.entries(value)) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= maxVocabulary) {
      throw new Error(`${path}: the id of ${show(piece)} is ${show(id)}; 0 to ${maxVocabulary - 1} is allowed`)
    }
    if (seen.has(id)) throw new Error(`${path}: the id ${id} of ${show(piece)} is another piece's too`)
    seen.add(id)
    vocab[piece] = id
  }
  if (seen.size === 0) throw new Error(`${path}: the vocabulary is empty`)
  return vocab
}

/** Merges as pairs, from `"a b"` or `["a", "b"]`; throws unless both parts and what they make are pieces. */
export function checkMerges(
  value: unknown,
  vocab: Readonly<Record<string, number>>,
  path: string,
): readonly (readonly [string, string])[] {
  if (!Array.isArray(value)) throw new Error(`${path}: the merges are ${show(value)}; a list is expected`)
  return value.map((merge: unknown, i) => {
    const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge
    if (!Array.isArray(parts) || parts.length !== 2) {
      throw new Error(`${path}: merge ${i + 1} is ${show(merge)}; two pieces are expected`)
    }
    const [left, right]: unknown[] = parts
    if (typeof left !== 'string' || typeof right !== 'string') {
      throw new Error(`${path}: merge ${i + 1} is ${show(merge)}; two pieces are expected`)
    }
    const missing = [left, right, left + right].find((piece) => !(piece in vocab))
    if (missing !== undefined) throw new Error(`${path}: merge ${i + 1} needs ${show(missing)}, which is no piece`)
    return [left, right] as const
  })
}

interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
}

function checkAddedTokens(value: unknown, path: string): readonly AddedToken[] {
  if (!Array.isArray(value)) throw new Error(`${path}: added_tokens is ${show(value)}; a list is expected`)
  return value.map((token: unknown) => {
    if (!isObject(token)) throw new Error(`${path}: an added token is ${show(token)}; an object is expected`)
    const { id, content } = token
    if (typeof content !== 'string' || content === '' || typeof id !== 'number' || !Number.isInteger(id) || id < 0) {
      throw new Error(`${path}: an added token is ${show(token)}; a content and an id are expected`)
    }
    return { ...token, id, content, special: token.special === true }
  })
}

/** What the settings name under `key`: a string, or the `content` of an object; `fallback` where they name nothing. */
export function settingContent(settings: JsonObject, key: string, fallback: string): unknown {
  const setting = settings[key] ?? fallback
  return isObject(setting) ? setting.content : setting
}

/** The special token that the settings name under `key`, else `fallback`; throws when it is not in the vocabulary. */
export function specialToken(opened: OpenedTokenizer, key: string, fallback: string): { content: string; id: number } {
  const content = settingContent(opened.settings, key, fallback)
  const id = typeof content === 'string' ? opened.tokenizer.token_to_id(content) : undefined
  if (typeof content !== 'string' || id === undefined) {
    throw new Error(`${opened.path}: ${key} is ${show(content)}, which is not in the vocabulary`)
  }
  return { content, id }
}
