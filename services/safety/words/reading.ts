import { findHidden } from './hidden.ts'
import type { Lexicon, PhraseWord, Tag } from './lexicon.ts'
import { type Token, tokensOf } from './tokens.ts'

/** A word with all that the lists say of it. */
export interface Word extends Token {
  readonly tags: ReadonlySet<Tag>
  /** Part of a phrase whose people are none, such as `portuguese man o' war`. */
  readonly innocent: boolean
  /** Part of a phrase that only sounds sexual, such as `naked mole rat`. */
  readonly innocentContent: boolean
  /** Part of the label, which is judged by itself. */
  readonly labelled: boolean
}

/** Phrases that excuse what is in them; of all others, a sign between their words makes no difference to some. */
const excusing: readonly Tag[] = ['innocent', 'innocentContent']
const refusing: readonly Tag[] = ['people', 'children', 'sexual', 'minors', 'alwaysLikeness']

/** Of a label none of whose words is more than these, a prompt repeats nothing that names a thing. */
const unnaming: readonly Tag[] = [
  'functionWords',
  'articles',
  'pronouns',
  'possessives',
  'bodyParts',
  'depictions',
  'likenesses',
  'qualities',
  'negations',
  'links',
  'ownerLinks',
  'conjunctions',
  'bearing',
  'costumeCues',
  'replaceVerbs',
  'replaceLinks',
]
const longestLabel = 16
const personTags: readonly Tag[] = ['people', 'children', 'modifiers', 'roles', 'subjects']

/** The words of a text with what the lists say of them and of the phrases that they are part of. Linear in its length. */
export function readText(text: string, lexicon: Lexicon, label = ''): Word[] {
  const tokens = segmentsOf(text, lexicon)
  const found = tokens.map((token) => ({
    tags: wordTags(token, lexicon),
    innocent: false,
    innocentContent: false,
    labelled: false,
  }))
  findPhrases(tokens, lexicon, (from, to, tag) => {
    for (let place = from; place <= to; place++) {
      if (tag === 'innocent') found[place]!.innocent = true
      else if (tag === 'innocentContent') found[place]!.innocentContent = true
    }
    found[from]!.tags.add(tag)
    found[to]!.tags.add(tag)
  })
  findHidden(tokens, lexicon, (place, tag) => found[place]!.tags.add(tag))
  const thing = thingOfLabel(label, lexicon)
  for (let place = 0; thing.length > 0 && place < tokens.length; place++) {
    if (!matchesAt(tokens, place, thing, 'innocent')) continue
    for (let part = 0; part < thing.length; part++) found[place + part]!.labelled = true
  }
  return tokens.map((token, place) => ({ ...token, ...found[place]! }))
}

function segmentsOf(text: string, lexicon: Lexicon): Token[] {
  return tokensOf(text).flatMap((token) => (token.han ? segmentHan(token, lexicon) : [token]))
}

/** What the lists say of a word by itself. */
function wordTags({ readings }: Token, lexicon: Lexicon): Set<Tag> {
  const all = new Set<Tag>()
  for (const reading of readings) for (const tag of lexicon.tagsOf(reading)) all.add(tag)
  if (all.size === 0) for (const tag of pluralTags(readings, lexicon)) all.add(tag)
  return all
}

/** The words of a label from the first to the last that names something; none where a thing's name is not among them. */
function thingOfLabel(label: string, lexicon: Lexicon): readonly Token[] {
  const tokens = segmentsOf(label, lexicon)
  if (tokens.length > longestLabel) return []
  const tags = tokens.map((token) => wordTags(token, lexicon))
  const has = (place: number, wanted: readonly Tag[]) => wanted.some((tag) => tags[place]!.has(tag))
  const names = tokens.map(({ text }, place) => !isOneSign(text) && !has(place, unnaming))
  if (!names.some((isName, place) => isName && !has(place, personTags))) return []
  return tokens.slice(names.indexOf(true), names.lastIndexOf(true) + 1)
}

/** A letter or a kana; a Chinese character is a word. */
function isOneSign(text: string): boolean {
  return /^.$/u.test(text) && !/\p{sc=Han}/u.test(text)
}

/** What a plural in -s, -es or -innen names where the lists have its singular alone: persons of every role. */
function pluralTags(readings: readonly string[], lexicon: Lexicon): Tag[] {
  return readings
    .filter((reading) => /^[a-z]{3,}(?:s|innen)$/.test(reading))
    .flatMap((reading) => [reading.slice(0, -1), reading.replace(/es$/, ''), reading.replace(/innen$/, 'in')])
    .flatMap((singular) => [...lexicon.tagsOf(singular)])
    .filter((tag) => tag === 'people' || tag === 'children' || tag === 'roles')
}

/** Longest entries first, character by character. */
function segmentHan(token: Token, lexicon: Lexicon): Token[] {
  const segments: Token[] = []
  const characters = [...token.text]
  const breaks = new Set(token.breaks)
  for (let start = 0; start < characters.length; ) {
    let length = Math.min(lexicon.longestHan, characters.length - start)
    while (length > 1 && lexicon.tagsOf(characters.slice(start, start + length).join('')).size === 0) length--
    const text = characters.slice(start, start + length).join('')
    segments.push({
      ...token,
      text,
      readings: [text],
      afterPause: start === 0 ? token.afterPause : breaks.has(start),
      glued: false,
      gap: start === 0 ? token.gap : '',
    })
    start += length
  }
  return segments
}

function findPhrases(
  tokens: readonly Token[],
  lexicon: Lexicon,
  tell: (from: number, to: number, tag: Tag) => void,
): void {
  tokens.forEach(({ readings }, place) => {
    for (const reading of readings) {
      for (const { words, tag } of lexicon.phrasesFrom(reading)) {
        if (matchesAt(tokens, place, words, tag)) tell(place, place + words.length - 1, tag)
      }
    }
  })
}

/** Whether a phrase stands here: what excuses, as it is written; what refuses, also with signs in it. */
function matchesAt(tokens: readonly Token[], place: number, words: readonly PhraseWord[], tag: Tag): boolean {
  const last = words.length - 1
  return words.every(({ text, possessive, glued }, offset) => {
    const token = tokens[place + offset]
    if (!token?.readings.includes(text)) return false
    if (offset > 0 && token.afterPause && !refusing.includes(tag)) return false
    if (!excusing.includes(tag)) return true
    // Something may belong to the thing: `the king penguin's egg`.
    const isOwner = token.possessive === possessive || (offset === last && token.possessive)
    return isOwner && (offset === 0 || !glued || token.glued)
  })
}
