import { checkMerges, checkVocabulary, settingContent } from './definition.ts'
import { type JsonObject, show } from './files.ts'

type Vocabulary = Readonly<Record<string, number>>

/** Contractions, words, single digits, runs of signs; white space falls away. */
const words = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"

/**
 * CLIP's tokenizer in the form of tokenizer.json, from the vocab.json and merges.txt of its repository: NFC, white
 * space to one space, lower case; words, single digits and runs of signs; bytes as printable characters, `</w>` after
 * a word's last one (transformers `CLIPTokenizer`, openai/CLIP `simple_tokenizer.py`).
 *
 * `vocabPath` and `mergesPath` are named in what it throws; `bos` and `eos` are pieces of the vocabulary.
 */
export function clipDefinition(
  vocabulary: JsonObject,
  vocabPath: string,
  mergesText: string,
  mergesPath: string,
  settings: JsonObject,
): JsonObject {
  const vocab = checkVocabulary(vocabulary, vocabPath)
  const [first = '', ...others] = mergesText.split(/\r?\n/)
  const lines = first.startsWith('#version') ? others : [first, ...others]
  const merges = checkMerges(
    lines.filter((line) => line !== ''),
    vocab,
    mergesPath,
  )
  if (merges.length === 0) throw new Error(`${mergesPath} holds no merges; a line "left right" for each is expected`)
  const bos = control(settings, 'bos_token', '<|startoftext|>', vocab, vocabPath)
  const eos = control(settings, 'eos_token', '<|endoftext|>', vocab, vocabPath)
  return {
    // bos is looked for after lower-casing, eos before: so transformers reads the published files.
    added_tokens: [
      { ...bos, special: true, normalized: true },
      { ...eos, special: true, normalized: false },
    ],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: words }, behavior: 'Removed', invert: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      unk_token: eos.content,
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      byte_fallback: false,
      vocab,
      merges,
    },
  }
}

function control(settings: JsonObject, key: string, fallback: string, vocab: Vocabulary, path: string) {
  const content = settingContent(settings, key, fallback)
  const id = typeof content === 'string' ? vocab[content] : undefined
  if (typeof content !== 'string' || id === undefined) throw new Error(`${path} lacks the ${key} ${show(content)}`)
  return { content, id }
}
