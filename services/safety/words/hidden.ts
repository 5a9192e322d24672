import { signs } from './confusables.ts'
import type { Lexicon, Tag } from './lexicon.ts'
import type { Token } from './tokens.ts'

/** Words that were written in pieces are looked for up to this length. */
const longestPieced = 16
const vowels = ['a', 'e', 'i', 'o', 'u']
const maxGuessedLetters = 2

/** What a hidden spelling may hide: ordinary words come together from pieces by chance. */
const hidden: readonly Tag[] = ['people', 'children', 'sexual', 'minors']

/** Words in pieces (`w o m a n`, `gi-rl`) and with letters left out (`wom*n`), by their plainest reading. */
export function findHidden(tokens: readonly Token[], lexicon: Lexicon, tell: (place: number, tag: Tag) => void): void {
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
