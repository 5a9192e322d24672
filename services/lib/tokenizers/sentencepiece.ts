import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'
import { type JsonObject, show } from './files.ts'

interface Piece {
  readonly piece: string
  readonly score: number
  readonly type: number
}

interface Model {
  readonly pieces: readonly Piece[]
  readonly trainerSpec: {
    readonly modelType: number
    readonly byteFallback: boolean
    readonly treatWhitespaceAsSuffix: boolean
  } | null
  readonly normalizerSpec: {
    readonly precompiledCharsmap: Uint8Array
    readonly addDummyPrefix: boolean
    readonly removeExtraWhitespaces: boolean
    readonly escapeWhitespaces: boolean
  } | null
}

const type = { normal: 1, unknown: 2, control: 3, byte: 6 } as const
const maxPieceCharacters = 256

let modelType: protobuf.Type | undefined

/**
 * LLaMA's tokenizer in the form of tokenizer.json, from the bytes of its tokenizer.model: a space before every text,
 * `▁` for spaces, no other normalization, UTF-8 bytes for characters without a piece (transformers `LlamaConverter`
 * with `legacy`). Throws one sentence that begins with `path` for any other kind of model.
 */
export function llamaDefinition(bytes: Uint8Array, path: string): JsonObject {
  const model = decode(bytes, path)
  checkKind(model, path)
  const vocab: Record<string, number> = Object.create(null)
  for (const [id, { piece }] of model.pieces.entries()) {
    if (piece in vocab) throw new Error(`${path}: piece ${id} is ${show(piece)}, which piece ${vocab[piece]} is too`)
    vocab[piece] = id
  }
  for (let byte = 0; byte < 256; byte++) {
    const piece = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`
    if (!(piece in vocab)) throw new Error(`${path} lacks the byte piece ${piece}`)
  }
  const unknown = model.pieces.find((piece) => piece.type === type.unknown)
  const controls = [...model.pieces.entries()].filter(([, p]) => p.type === type.unknown || p.type === type.control)
  return {
    added_tokens: controls.map(([id, { piece }]) => ({ id, content: piece, special: true, normalized: false })),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    pre_tokenizer: null,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    model: {
      type: 'BPE',
      unk_token: unknown?.piece ?? null,
      fuse_unk: true,
      byte_fallback: true,
      vocab,
      merges: merges(model.pieces),
    },
  }
}

function decode(bytes: Uint8Array, path: string): Model {
  modelType ??= protobuf
    .loadSync(fileURLToPath(new URL('sentencepiece.proto', import.meta.url)))
    .lookupType('sentencepiece.ModelProto')
  try {
    const { pieces, trainerSpec, normalizerSpec } = modelType.toObject(modelType.decode(bytes), { defaults: true })
    return { pieces, trainerSpec, normalizerSpec }
  } catch (error) {
    throw new Error(`${path} is not a sentencepiece model: ${error instanceof Error ? error.message : error}`)
  }
}

function checkKind({ pieces, trainerSpec, normalizerSpec }: Model, path: string): void {
  if (pieces.length === 0 || !trainerSpec || !normalizerSpec) {
    throw new Error(`${path} is not a sentencepiece model: it has no pieces, trainer or normalizer settings`)
  }
  const found: readonly (readonly [string, unknown, unknown])[] = [
    ['model_type', trainerSpec.modelType, 2],
    ['byte_fallback', trainerSpec.byteFallback, true],
    ['treat_whitespace_as_suffix', trainerSpec.treatWhitespaceAsSuffix, false],
    ['add_dummy_prefix', normalizerSpec.addDummyPrefix, true],
    ['remove_extra_whitespaces', normalizerSpec.removeExtraWhitespaces, false],
    ['escape_whitespaces', normalizerSpec.escapeWhitespaces, true],
    ['precompiled_charsmap length', normalizerSpec.precompiledCharsmap.length, 0],
  ]
  for (const [field, value, allowed] of found) {
    if (value !== allowed) throw new Error(`${path}: ${field} is ${value}; LLaMA's ${allowed} is allowed`)
  }
  const allowedTypes: readonly number[] = Object.values(type)
  for (const [id, piece] of pieces.entries()) {
    if (!allowedTypes.includes(piece.type)) {
      throw new Error(`${path}: piece ${id} ${show(piece.piece)} is of type ${piece.type}; 1, 2, 3 or 6 is allowed`)
    }
    if (piece.piece === '' || piece.piece.length > maxPieceCharacters || !Number.isFinite(piece.score)) {
      throw new Error(
        `${path}: piece ${id} has ${piece.piece.length} characters and score ${piece.score}; ` +
          `1 to ${maxPieceCharacters} characters and a finite score are allowed`,
      )
    }
  }
}

/**
 * sentencepiece merges the two neighbours whose joint piece scores best; a list of merges says the same when it names
 * every way to split each piece, best piece first.
 */
function merges(pieces: readonly Piece[]): readonly (readonly [string, string])[] {
  const normal = pieces.filter((piece) => piece.type === type.normal)
  const known = new Set(normal.map(({ piece }) => piece))
  const best = [...normal].sort((a, b) => b.score - a.score)
  return best.flatMap(({ piece }) => {
    const splits: (readonly [string, string])[] = []
    for (let at = 1; at < piece.length; at++) {
      const [left, right] = [piece.slice(0, at), piece.slice(at)]
      if (known.has(left) && known.has(right)) splits.push([left, right])
    }
    return splits
  })
}
