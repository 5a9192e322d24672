import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { ConfigError } from '../../lib/mesh/config.ts'
import { tokensOf } from './tokens.ts'

/** What a word list says of its words; the files in this folder give the reasons. */
export const tags = [
  'people',
  'children',
  'modifiers',
  'roles',
  'subjects',
  'pronouns',
  'possessives',
  'bodyParts',
  'depictions',
  'likenesses',
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
  'bearing',
  'conjunctions',
  'negations',
  'costumeCues',
  'animals',
  'replaceVerbs',
  'replaceLinks',
  'alwaysLikeness',
  'sexual',
  'minors',
] as const
export type Tag = (typeof tags)[number]

interface Phrase {
  readonly words: readonly string[]
  readonly tag: Tag
}

/** Words and phrases of some languages together: a prompt may mix them. */
export interface Lexicon {
  /** What the lists say of a single word. */
  tagsOf(word: string): ReadonlySet<Tag>
  /** Phrases of two words and more that begin with this one. */
  phrasesFrom(word: string): readonly Phrase[]
  /** Characters of the longest Chinese entry. */
  readonly longestHan: number
}

const group = z.strictObject({ why: z.string().min(1).max(200), words: z.string().min(1).max(20_000) })
const list = z.strictObject({
  language: z.string().min(1).max(40),
  sources: z.array(z.string().min(1).max(600)).min(1).max(8),
  lists: z.partialRecord(z.enum(tags), z.array(group).min(1).max(32)),
})

const none: ReadonlySet<Tag> = new Set()

/** Reads the word lists `<folder>/<language>.json`. Throws a ConfigError with one sentence where one is missing or wrong. */
export function readLexicon(languages: readonly string[], folder: string = import.meta.dirname): Lexicon {
  const words = new Map<string, Set<Tag>>()
  const phrases = new Map<string, Phrase[]>()
  let longestHan = 1
  for (const language of languages) {
    for (const [tag, groups] of Object.entries(readList(join(folder, `${language}.json`)).lists)) {
      for (const entry of groups.flatMap((one) => one.words.split(',')).map((one) => one.trim())) {
        add(entry, tag as Tag)
      }
    }
  }
  function add(entry: string, tag: Tag): void {
    const parts = tokensOf(entry)
    const [first, ...others] = parts.map(({ text }) => text)
    if (first === undefined) return
    if (parts.every(({ han }) => han)) longestHan = Math.max(longestHan, first.length)
    if (others.length === 0) words.set(first, (words.get(first) ?? new Set()).add(tag))
    else phrases.set(first, [...(phrases.get(first) ?? []), { words: [first, ...others], tag }])
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
