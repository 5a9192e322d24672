import { signs } from './confusables.ts'
import type { Lexicon, Tag } from './lexicon.ts'
import { type Token, tokensOf } from './tokens.ts'

/** A word with all that the lists say of it. */
export interface Word extends Token {
  readonly tags: ReadonlySet<Tag>
  /** Part of a phrase whose people are none, such as `portuguese man o' war`. */
  readonly innocent: boolean
  /** Part of a phrase that only sounds sexual, such as `naked mole rat`. */
  readonly innocentContent: boolean
}

/** Words that were written in pieces are looked for up to this length. */
const longestPieced = 16
const vowels = ['a', 'e', 'i', 'o', 'u']
const maxGuessedLetters = 2

/** What a hidden spelling may hide: ordinary words come together from pieces by chance. */
const hidden: readonly Tag[] = ['people', 'children', 'sexual', 'minors']

/** The words of a text with what the lists say of them and of the phrases that they are part of. Linear in its length. */
export function readText(text: string, lexicon: Lexicon, innocentPhrase: readonly string[] = []): Word[] {
  const tokens = tokensOf(text).flatMap((token) => (token.han ? segmentHan(token, lexicon) : [token]))
  const found = tokens.map(({ readings }) => {
    const all = new Set<Tag>()
    for (const reading of readings) for (const tag of lexicon.tagsOf(reading)) all.add(tag)
    if (all.size === 0) for (const tag of pluralTags(readings, lexicon)) all.add(tag)
    return { tags: all, innocent: false, innocentContent: false }
  })
  findPhrases(tokens, lexicon, innocentPhrase, (from, to, tag) => {
    for (let place = from; place <= to; place++) {
      if (tag === 'innocent') found[place]!.innocent = true
      else if (tag === 'innocentContent') found[place]!.innocentContent = true
    }
    found[from]!.tags.add(tag)
    found[to]!.tags.add(tag)
  })
  findHidden(tokens, lexicon, (place, tag) => found[place]!.tags.add(tag))
  return tokens.map((token, place) => ({ ...token, ...found[place]! }))
}

/** What a plural in -s names where the lists have its singular alone: persons of every role. */
function pluralTags(readings: readonly string[], lexicon: Lexicon): Tag[] {
  return readings
    .filter((reading) => /^[a-z]{3,}s$/.test(reading))
    .flatMap((reading) => [...lexicon.tagsOf(reading.slice(0, -1))])
    .filter((tag) => tag === 'people' || tag === 'children' || tag === 'roles')
}

/** Longest entries first, character by character. */
function segmentHan(token: Token, lexicon: Lexicon): Token[] {
  const segments: Token[] = []
  const characters = [...token.text]
  for (let start = 0; start < characters.length; ) {
    let length = Math.min(lexicon.longestHan, characters.length - start)
    while (length > 1 && lexicon.tagsOf(characters.slice(start, start + length).join('')).size === 0) length--
    const text = characters.slice(start, start + length).join('')
    segments.push({
      ...token,
      text,
      readings: [text],
      afterPause: start === 0 && token.afterPause,
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
  innocentPhrase: readonly string[],
  tell: (from: number, to: number, tag: Tag) => void,
): void {
  tokens.forEach(({ readings }, place) => {
    for (const reading of readings) {
      for (const { words, tag } of lexicon.phrasesFrom(reading)) {
        if (matchesAt(tokens, place, words)) tell(place, place + words.length - 1, tag)
      }
    }
    if (innocentPhrase.length > 0 && matchesAt(tokens, place, innocentPhrase)) {
      tell(place, place + innocentPhrase.length - 1, 'innocent')
    }
  })
}

function matchesAt(tokens: readonly Token[], place: number, words: readonly string[]): boolean {
  return words.every((word, offset) => tokens[place + offset]?.readings.includes(word))
}

/** Words in pieces (`w o m a n`, `gi-rl`) and with letters left out (`wom*n`), by their plainest reading. */
function findHidden(tokens: readonly Token[], lexicon: Lexicon, tell: (place: number, tag: Tag) => void): void {
  const lookUp = (text: string, place: number) => {
    for (const tag of lexicon.tagsOf(text)) if (hidden.includes(tag)) tell(place, tag)
  }
  for (const [start, length] of runs(tokens, ({ text, han }) => !han && isOneLetter(text))) {
    if (length < 3) continue
    const letters = tokens
      .slice(start, start + length)
      .map(plainest)
      .join('')
    if (length === 3) lookUp(letters, start)
    for (let from = 0; from + 4 <= length; from++) {
      const longest = Math.min(longestPieced, length - from)
      for (let size = 4; size <= longest; size++) lookUp(letters.slice(from, from + size), start + from)
    }
  }
  const pieces = tokens.map(plainest)
  for (let first = 0; first + 1 < tokens.length; first++) {
    let text = pieces[first]!
    for (let next = first + 1; tokens[next]?.glued && text.length < longestPieced; next++) {
      text += pieces[next]!
      lookUp(text, first)
    }
  }
  for (const [start, length] of runs(tokens, (token, place) => isStarred(token) || isStarred(tokens[place + 1]))) {
    if (length > maxGuessedLetters + 1) continue
    const pattern = tokens
      .slice(start, start + length)
      .map((token, index) => (index > 0 ? token.gap : '') + plainest(token))
    for (const guess of guesses(pattern.join(''))) lookUp(guess, start)
  }
}

/** Whether stars stand between a word's piece and the one before. */
function isStarred(token: Token | undefined): boolean {
  return (token?.glued ?? false) && /^\*+$/.test(token?.gap ?? '')
}

function isOneLetter(text: string): boolean {
  return text.length === 1 || (text.length === 2 && text.codePointAt(0)! > 0xffff)
}

/** Without look-alikes and signs for letters, as far as a word has such a reading; of one letter, one letter. */
function plainest({ text, readings }: Token): string {
  return signs[text]?.[0] ?? readings[1] ?? text
}

/** What a word with stars for letters may be: vowels are what is left out. */
function guesses(pattern: string): string[] {
  const stars = pattern.split('*').length - 1
  if (stars === 0 || stars > maxGuessedLetters || pattern.length > longestPieced) return []
  let words = [pattern]
  for (let star = 0; star < stars; star++)
    words = words.flatMap((word) => vowels.map((vowel) => word.replace('*', vowel)))
  return words
}

/** Stretches of tokens that all fulfil `fits`, as start and length. */
function* runs(
  tokens: readonly Token[],
  fits: (token: Token, place: number) => boolean,
): Generator<[start: number, length: number]> {
  let length = 0
  for (let place = 0; place <= tokens.length; place++) {
    const token = tokens[place]
    if (token && fits(token, place)) length++
    else {
      if (length > 0) yield [place - length, length]
      length = 0
    }
  }
}
