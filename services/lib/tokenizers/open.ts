import { join } from 'node:path'
import { clipDefinition } from './clip-files.ts'
import { type OpenedTokenizer, openDefinition } from './definition.ts'
import { type JsonObject, readIfPresent, readObjectIfPresent } from './files.ts'
import { llamaDefinition } from './sentencepiece.ts'

// About ten times the published files of CLIP and LLaMA.
const maxSettingsBytes = 1 << 20
const maxDefinitionBytes = 32 << 20
const maxVocabularyBytes = 8 << 20
const maxModelBytes = 4 << 20

/**
 * Opens the tokenizer that a checkpoint's folder publishes: tokenizer.json where it is present, else vocab.json with
 * merges.txt (CLIP), else tokenizer.model (LLaMA); tokenizer_config.json must lie beside it.
 * Throws one sentence with the file's path when a file is missing, too large or damaged.
 */
export async function openTokenizer(folder: string): Promise<OpenedTokenizer> {
  const settings = await readSettings(folder)
  const jsonPath = join(folder, 'tokenizer.json')
  const json = await readObjectIfPresent(jsonPath, maxDefinitionBytes)
  if (json) return openDefinition(json, jsonPath, settings)

  const vocabPath = join(folder, 'vocab.json')
  const vocab = await readObjectIfPresent(vocabPath, maxVocabularyBytes)
  if (vocab) {
    const mergesPath = join(folder, 'merges.txt')
    const merges = await readIfPresent(mergesPath, maxVocabularyBytes)
    if (!merges) throw new Error(`${mergesPath} is missing; it belongs to ${vocabPath}`)
    const definition = clipDefinition(vocab, vocabPath, merges.toString('utf8'), mergesPath, settings)
    return openDefinition(definition, vocabPath, settings)
  }

  const modelPath = join(folder, 'tokenizer.model')
  const model = await readIfPresent(modelPath, maxModelBytes)
  if (model) return openDefinition(llamaDefinition(model, modelPath), modelPath, settings)
  throw new Error(
    `${folder} holds no tokenizer; tokenizer.json, vocab.json with merges.txt, or tokenizer.model is needed`,
  )
}

async function readSettings(folder: string): Promise<JsonObject> {
  const path = join(folder, 'tokenizer_config.json')
  const settings = await readObjectIfPresent(path, maxSettingsBytes)
  if (!settings)
    throw new Error(`${path} is missing; it says which tokens begin and end a text and how long one may be`)
  const special = await readObjectIfPresent(join(folder, 'special_tokens_map.json'), maxSettingsBytes)
  return { ...special, ...settings }
}
