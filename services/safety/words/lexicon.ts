import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ConfigError } from '../../lib/mesh/config.ts'
import { casesOf } from './russian-cases.ts'
import { tokensOf } from './tokens.ts'

/** What a word list says of its words; the files in this folder give the reasons. */
export const tags = [
  'people',
  'children',
  'modifiers',
  'roles',
  'compounds',
  'subjects',
  'pronouns',
  'possessives',
  'bodyParts',
  'depictions',
  'likenesses',
  'faces',
  'cases',
  'statue',
  'doll',
  'robot',
  'carrier',
  'clothing',
  'object',
  'materials:statue',
  'materials:doll',
  'materials:robot',
  'innocent',
  'innocentContent',
  'functionWords',
  'qualities',
  'articles',
  'links',
  'ownerLinks',
  'bearing',
  'audiences',
  'places',
  'doings',
  'conjunctions',
  'negations',
  'costumeCues',
  'animals',
  'replaceVerbs',
  'replaceLinks',
  'insteadOf',
  'its',
  'alwaysLikeness',
  'sexual',
  'minors',
] as const
export type Tag = (typeof tags)[number]

/** A word of a phrase, and how it stands there. */
export interface PhraseWord {
  readonly text: string
  readonly possessive: boolean
  /** Whether only signs part it from the word before, as in `nude-coloured`. */
  readonly glued: boolean
}

interface Phrase {
  readonly words: readonly PhraseWord[]
  readonly tag: Tag
}

/** Words and phrases of some languages together: a prompt may mix them. */
export interface Lexicon {
  /** What the lists say of a single word. */
  tagsOf(word: string): ReadonlySet<Tag>
  /** Phrases of two words and more that begin with this one. */
  phrasesFrom(word: string): readonly Phrase[]
  /** Characters of the longest entry in a script without spaces. */
  readonly longestHan: number
}

const group = z.strictObject({ why: z.string().min(1).max(200), words: z.string().min(1).max(20_000) })
const list = z.strictObject({
  language: z.string().min(1).max(40),
  /** Whether a noun stands before another one that it belongs to (`nurse shark`). */
  compounds: z.boolean().default(false),
  sources: z.array(z.string().min(1).max(600)).min(1).max(8),
  lists: z.partialRecord(z.enum(tags), z.array(group).min(1).max(32)),
})

const none: ReadonlySet<Tag> = new Set()

/** Of what the lists have dictionary forms, where a language has cases. */
const persons: readonly Tag[] = ['people', 'children', 'modifiers', 'roles']
const declined: readonly Tag[] = [
  ...persons,
  'bodyParts',
  'depictions',
  'likenesses',
  'faces',
  ...(['statue', 'doll', 'robot', 'carrier', 'clothing', 'object', 'animals'] as const),
  'sexual',
]

/** Reads the word lists `<folder>/<language>.json`. Throws a ConfigError with one sentence where one is missing or wrong. */
export function readLexicon(languages: readonly string[], folder: string = import.meta.dirname): Lexicon {
  const words = new Map<string, Set<Tag>>()
  const phrases = new Map<string, Phrase[]>()
  let longestHan = 1
  for (const language of languages) {
    const { compounds, lists } = readList(join(folder, `${language}.json`))
    for (const [tag, groups] of Object.entries(lists)) {
      for (const entry of groups.flatMap((one) => one.words.split(',')).map((one) => one.trim())) {
        add(entry, tag as Tag)
        if (compounds && tag === 'roles') add(entry, 'compounds')
        if (declined.includes(tag as Tag)) for (const form of casesOf(entry)) addCase(form, tag as Tag)
      }
    }
  }
  function add(entry: string, tag: Tag): void {
    const parts = tokensOf(entry).map(({ text, possessive, glued, han }) => ({ text, possessive, glued, han }))
    const first = parts[0]?.text
    if (first === undefined) return
    if (parts.every(({ han }) => han)) longestHan = Math.max(longestHan, first.length)
    if (parts.length === 1) words.set(first, (words.get(first) ?? new Set()).add(tag))
    else phrases.set(first, [...(phrases.get(first) ?? []), { words: parts, tag }])
  }
  function addCase(form: string, tag: Tag): void {
    add(form, tag)
    if (persons.includes(tag)) add(form, 'cases')
  }
  return {
    tagsOf: (word) => words.get(word) ?? none,
    phrasesFrom: (word) => phrases.get(word) ?? [],
    longestHan,
  }
}

function readList(file: string): z.infer<typeof list> {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new ConfigError(`The word list ${file} can't be read (${error instanceof Error ? error.message : error}).`)
  }
  const result = list.safeParse(value)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  throw new ConfigError(
    `The word list ${file}: ${path.join('.') || 'the document'} is not as it should be (${message}).`,
  )
}
