import { confusables, signs, unboxed } from './confusables.ts'

/** A word of a text, in every way that it can be read. */
export interface Token {
  /** As it stands, in lower case without marks. */
  readonly text: string
  /** `text` first; then without look-alikes, digits for letters, drawn-out letters. At most 10. */
  readonly readings: readonly string[]
  /** Whether a sign that ends a part of a sentence parts it from the word before. */
  readonly afterPause: boolean
  /** Whether nothing but signs such as `-` and `*` parts it from the word before. */
  readonly glued: boolean
  /** What stands between it and the word before. */
  readonly gap: string
  /** Written with a capital first letter and others after it: a name or a noun. */
  readonly capital: boolean
  /** Ends in 's: something of it follows. */
  readonly possessive: boolean
  readonly han: boolean
}

const maxReadings = 10
/** Longer words are no words; they are read as they stand. */
const longestWord = 48

const word = /\p{sc=Han}+|[[\p{L}\p{N}\p{M}@$€\|]--\p{sc=Han}]+(?:[!+]+[[\p{L}\p{N}\p{M}@$€\|]--\p{sc=Han}]+)*/gv

/** Text as it is seen: NFKC, no marks of Latin, Greek, Cyrillic and Arabic letters, nothing invisible, plain quotes. */
export function plainText(text: string): string {
  return text
    .normalize('NFKC')
    .replace(/[\u{1F150}-\u{1F189}\u{1F1E6}-\u{1F1FF}]/gu, unboxed)
    .normalize('NFD')
    .replace(/[\p{sc=Zinh}\p{Cf}\u0640\u115f\u1160\u3164\uffa0]|(?![\t\n\r])\p{Cc}/gu, '')
    .replace(/[’‘ʼ`´＇]/g, "'")
    .replace(/(?<=\p{sc=Han})[\s._*·-]{1,4}(?=\p{sc=Han})/gu, '')
    .replace(/[ßẞ]/g, 'ss')
    .replace(/[æÆ]/g, 'ae')
    .replace(/[œŒ]/g, 'oe')
}

/** The words of a text in order; Chinese as runs of characters. Linear in its length. */
export function tokensOf(text: string): Token[] {
  const plain = plainText(text)
  const tokens: Token[] = []
  let end = 0
  for (const { 0: found, index } of plain.matchAll(word)) {
    const between = plain.slice(end, index)
    end = index + found.length
    if (found === 's' && between === "'" && tokens.length > 0) {
      tokens.push({ ...tokens.pop()!, possessive: true })
      continue
    }
    const lower = found.toLowerCase()
    tokens.push({
      text: lower,
      readings: readingsOf(lower),
      afterPause: /[.,;:!?()\n。，、；：！？（）]/.test(between) && !/^[.*_-]+$/.test(between),
      glued: tokens.length > 0 && /^[.*_\-/·~=#%&^]{1,4}$/.test(between),
      gap: between,
      capital: /^\p{Lu}/u.test(found) && !/^\p{Lu}{2,}$/u.test(found),
      possessive: false,
      han: /^\p{sc=Han}/u.test(found),
    })
  }
  // `boys' shoes`: the sign is where the gap to the next word begins.
  return tokens.map((token, place) =>
    token.text.endsWith('s') && /^'\s/.test(tokens[place + 1]?.gap ?? '') ? { ...token, possessive: true } : token,
  )
}

/** Every way that a word in lower case can be read, itself first. */
export function readingsOf(lower: string): readonly string[] {
  if (lower.length > longestWord) return [lower]
  const readings = new Set([lower])
  for (const read of [foldScripts, unmask, shortenRuns]) {
    for (const reading of [...readings]) {
      for (const other of read(reading)) if (readings.size < maxReadings) readings.add(other)
    }
  }
  if (/^ال../.test(lower)) readings.add(lower.slice(2))
  return [...readings]
}

/** Look-alikes as Latin, of a word that has Latin letters too or could be all Latin. */
function foldScripts(reading: string): string[] {
  if (!/[^\p{ASCII}]/u.test(reading)) return []
  const folded = [...reading].map((letter) => confusables.get(letter) ?? letter).join('')
  return /[a-z]/.test(folded) ? [folded] : []
}

/** Digits and signs as the letters they stand for, of a word that has letters. */
function unmask(reading: string): string[] {
  if (!/\p{L}/u.test(reading) || !/[01345789@$€!|+]/.test(reading)) return []
  return [0, 1].map((choice) => [...reading].map((sign) => signs[sign]?.[choice] ?? signs[sign]?.[0] ?? sign).join(''))
}

/** Letters drawn out to three and more, as one and as two. */
function shortenRuns(reading: string): string[] {
  if (!/(\p{L})\1\1/u.test(reading)) return []
  return [reading.replace(/(\p{L})\1{2,}/gu, '$1'), reading.replace(/(\p{L})\1{2,}/gu, '$1$1')]
}
