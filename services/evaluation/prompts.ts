import { list, object, oneOf, refuse, type Shape, text } from '../lib/bundles/shape.ts'

/** A new place or dress for the thing, or a new material. */
export type PromptKind = 'context' | 'texture'
export const promptKinds: readonly PromptKind[] = ['context', 'texture']

export interface PromptTemplate {
  /** What reports call it, such as `snow`. */
  readonly key: string
  /** With `{label}` where the thing's noun stands. */
  readonly text: string
}

export type PromptLists = Readonly<Record<PromptKind, readonly PromptTemplate[]>>

/** Which prompts a thing of this class is drawn with. */
export type PromptBook = (subjectClass: string) => PromptLists

const place = '{label}'
const vowel = /^[aeiou]/i

/** The template's sentence for a noun; "a {label}" becomes "an …" before a vowel. */
export function fillPrompt(template: PromptTemplate, label: string): string {
  const article = vowel.test(label) ? 'n' : ''
  return template.text.replace(/\b([Aa]) \{label\}/, `$1${article} {label}`).replace(place, () => label)
}

const template: Shape<PromptTemplate> = (value, at) => {
  const read = object({ key: text(60), text: text(300) }, {})(value, at)
  if (read.text.split(place).length === 2) return read
  throw refuse(read.text, { ...at, path: `${at.path}.text` }, `a text with one ${place}`)
}

const templates: Shape<readonly PromptTemplate[]> = (value, at) => {
  const read = list(template, 1, 200)(value, at)
  const repeated = read.find(({ key }, index) => read.findIndex((other) => other.key === key) < index)
  if (repeated) throw refuse(repeated.key, at, 'keys that differ')
  return read
}

const document = object({ formatVersion: oneOf(1), context: templates, texture: templates }, {})

/** Checks a bundle's own prompts; `file` is how errors name it. Throws `BundleError` with file, field, value got and values allowed. */
export function parsePromptLists(value: unknown, file: string): PromptLists {
  const { context, texture } = document(value, { file, path: '' })
  return { context, texture }
}

/** Templates by their sentences; the key is what the sentence says beside the thing. */
export function templatesOf(sentences: readonly string[]): PromptTemplate[] {
  return sentences.map((sentence) => ({
    key: sentence.replace(/^an? \{label\} /i, '').replace(place, '…'),
    text: sentence,
  }))
}

/** MoMA's ten materials (supplement, Table 1), in its spelling. */
export const paperTextures: readonly PromptTemplate[] = [
  'Lego',
  'Paper',
  'Gold',
  'Wood',
  'silver',
  'green jade',
  'glass',
  'stone',
  'sketch',
  'Minecraft',
].map((texture) => ({ key: texture, text: `A sculpture of a {label} made of ${texture}` }))

const everywhere = [
  'a {label} in the jungle',
  'a {label} in the snow',
  'a {label} on the beach',
  'a {label} on a cobblestone street',
  'a {label} on top of pink fabric',
  'a {label} on top of a wooden floor',
  'a {label} with a city in the background',
  'a {label} with a mountain in the background',
  'a {label} with a blue house in the background',
  'a {label} on top of a purple rug in a forest',
]
const changed = ['a red {label}', 'a purple {label}', 'a shiny {label}', 'a wet {label}', 'a cube shaped {label}']

/** DreamBooth's 25 prompts for things and its 25 for animals, on which MoMA's CLIP-T(c) is measured (google/dreambooth, CC-BY-4.0). */
const dreamBooth = {
  objects: templatesOf([
    ...everywhere,
    'a {label} with a wheat field in the background',
    'a {label} with a tree and autumn leaves in the background',
    'a {label} with the Eiffel Tower in the background',
    'a {label} floating on top of water',
    'a {label} floating in an ocean of milk',
    'a {label} on top of green grass with sunflowers around it',
    'a {label} on top of a mirror',
    'a {label} on top of the sidewalk in a crowded street',
    'a {label} on top of a dirt road',
    'a {label} on top of a white rug',
    ...changed,
  ]),
  animals: templatesOf([
    ...everywhere,
    'a {label} wearing a red hat',
    'a {label} wearing a santa hat',
    'a {label} wearing a rainbow scarf',
    'a {label} wearing a black top hat and a monocle',
    'a {label} in a chef outfit',
    'a {label} in a firefighter outfit',
    'a {label} in a police outfit',
    'a {label} wearing pink glasses',
    'a {label} wearing a yellow shirt',
    'a {label} in a purple wizard outfit',
    ...changed,
  ]),
}

/** DreamBooth's two classes that live. */
export const animalClasses: readonly string[] = ['cat', 'dog']

/** The paper's protocol: DreamBooth's prompts for contexts, its own ten for materials. */
export const paperPrompts: PromptBook = (subjectClass) => ({
  context: animalClasses.includes(subjectClass) ? dreamBooth.animals : dreamBooth.objects,
  texture: paperTextures,
})
