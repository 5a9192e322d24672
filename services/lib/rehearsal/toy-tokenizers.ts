import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'

/**
 * Words that a rehearsal's tokenizers know whole; others fall into letters. Prompts of the usual kind then take about
 * as many tokens as with the real vocabularies.
 */
const words = (
  'a an the of in on at with and to photo describe new image same user assistant dog cat bird car robot boot toy vase backpack ' +
  'green garden spring flowers autumn falling leaves beach snow forest desert city night sculpture made gold wood silver paper ' +
  'glass stone sketch lego jade minecraft under water space wooden table brick wall sunset rainy street meadow'
).split(' ')

const letters = [...'abcdefghijklmnopqrstuvwxyz']

/** vocab.json, merges.txt and tokenizer_config.json of a CLIP tokenizer with as many tokens as the real one. */
export async function writeClipTokenizer(folder: string, vocabularySize: number): Promise<void> {
  const characters = byteCharacters()
  const vocabulary = [...characters, ...characters.map((one) => `${one}</w>`)]
  const merges: string[] = []
  for (const word of words) {
    const pieces = [...word.slice(0, -1), `${word.at(-1)}</w>`]
    // From the left: the, then each longer beginning.
    for (let length = 2; length <= pieces.length; length++) {
      const [left, right] = [pieces.slice(0, length - 1).join(''), pieces[length - 1]!]
      if (vocabulary.includes(left + right)) continue
      merges.push(`${left} ${right}`)
      vocabulary.push(left + right)
    }
  }
  const specials = ['<|startoftext|>', '<|endoftext|>']
  while (vocabulary.length < vocabularySize - specials.length) vocabulary.push(`<unused-${vocabulary.length}>`)
  const ids = Object.fromEntries([...vocabulary, ...specials].map((piece, id) => [piece, id]))
  const config = {
    tokenizer_class: 'CLIPTokenizer',
    model_max_length: 77,
    bos_token: specials[0],
    eos_token: specials[1],
    pad_token: specials[1],
  }
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'vocab.json'), JSON.stringify(ids))
  await writeFile(join(folder, 'merges.txt'), `#version: 0.2\n${merges.join('\n')}\n`)
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(config))
}

/** tokenizer.model and tokenizer_config.json of a LLaMA tokenizer with as many tokens as the real one. */
export async function writeLlamaTokenizer(folder: string, vocabularySize: number): Promise<void> {
  const controls = ['<unk>', '<s>', '</s>'].map((piece, index) => ({ piece, score: 0, type: index === 0 ? 2 : 3 }))
  const bytes = Array.from({ length: 256 }, (_, byte) => ({
    piece: `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
    score: 0,
    type: 6,
  }))
  const normal = new Set<string>(['▁', ...letters, ...letters.map((letter) => letter.toUpperCase()), ...".,:*'-", '▁*'])
  for (const word of words)
    for (let length = 1; length <= word.length; length++) normal.add(`▁${word.slice(0, length)}`)
  while (normal.size < vocabularySize - controls.length - bytes.length) normal.add(`▁<unused-${normal.size}>`)
  // Longer beginnings come later, so that each can be made out of the one before.
  const pieces = [...controls, ...bytes, ...[...normal].map((piece, index) => ({ piece, score: -index, type: 1 }))]
  const schema = fileURLToPath(new URL('../tokenizers/sentencepiece.proto', import.meta.url))
  const modelType = protobuf.loadSync(schema).lookupType('sentencepiece.ModelProto')
  const model = {
    pieces,
    trainerSpec: { modelType: 2, treatWhitespaceAsSuffix: false, byteFallback: true },
    normalizerSpec: {
      precompiledCharsmap: new Uint8Array(),
      addDummyPrefix: true,
      removeExtraWhitespaces: false,
      escapeWhitespaces: true,
    },
  }
  const config = {
    tokenizer_class: 'LlamaTokenizer',
    model_max_length: 2048,
    bos_token: '<s>',
    eos_token: '</s>',
    unk_token: '<unk>',
  }
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'tokenizer.model'), modelType.encode(modelType.create(model)).finish())
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(config))
}

/** GPT-2's printable characters for the 256 bytes, which CLIP's vocabulary begins with. */
function byteCharacters(): string[] {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
  let spare = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : spare++))
}
