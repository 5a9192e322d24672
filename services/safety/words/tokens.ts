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
  /** In a script without spaces: which of its characters a full stop or a line break stands before. */
  readonly breaks: readonly number[]
  /** Written with a capital first letter and others after it: a name or a noun. */
  readonly capital: boolean
  /** Ends in 's: something of it follows. */
  readonly possessive: boolean
  /** In Chinese characters or Japanese kana, which stand without spaces. */
  readonly han: boolean
}

const maxReadings = 10
/** Longer words are no words; they are read as they stand. */
const longestWord = 48

const spaceless = String.raw`[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}ー]`
const spaced = String.raw`[[\p{L}\p{N}\p{M}@$€\|]--${spaceless}]`
const gapInside = String.raw`[\s._*·\-]{1,4}`
const word = new RegExp(`${spaceless}+(?:${gapInside}${spaceless}+)*|${spaced}+(?:[!+]+${spaced}+)*`, 'gv')
const isSpaceless = new RegExp(`^${spaceless}`, 'v')
const insideGaps = new RegExp(gapInside, 'gv')

const pause = /[.,;:!?()…—\n。，、；：！？（）،؛؟۔।॥]|\s[-–]\s/

/** Text as it is seen: NFKC, no marks of Latin, Greek, Cyrillic and Arabic letters, nothing invisible, plain quotes. */
export function plainText(text: string): string {
  return text
    .normalize('NFKC')
    .replace(/[\u{1F150}-\u{1F189}\u{1F1E6}-\u{1F1FF}]/gu, unboxed)
    .normalize('NFD')
    .replace(/[\p{sc=Zinh}\p{Cf}\u0640\u093c\u115f\u1160\u3164\uffa0]|(?![\t\n\r])\p{Cc}/gu, '')
    .replace(/[’‘ʼ`´＇]/g, "'")
    .replace(/[ßẞ]/g, 'ss')
    .replace(/[æÆ]/g, 'ae')
    .replace(/[œŒ]/g, 'oe')
}

/** The words of a text in order; scripts without spaces as runs of characters. Linear in its length. */
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
    const han = isSpaceless.test(found)
    const { text: lower, breaks } = han ? withoutGaps(found) : { text: found.toLowerCase(), breaks: [] }
    tokens.push({
      text: lower,
      readings: readingsOf(lower),
      afterPause: pause.test(between) && !/^[.*_-]+$/.test(between),
      glued: tokens.length > 0 && /^[.*_\-/·~=#%&^]{1,4}$/.test(between),
      gap: between,
      breaks,
      capital: /^\p{Lu}/u.test(found) && !/^\p{Lu}{2,}$/u.test(found),
      possessive: false,
      han,
    })
  }
  // `boys' shoes`: the sign is where the gap to the next word begins.
  return tokens.map((token, place) =>
    token.text.endsWith('s') && /^'\s/.test(tokens[place + 1]?.gap ?? '') ? { ...token, possessive: true } : token,
  )
}

/** Characters that signs or spaces part are read together; a full stop or a line break is kept in mind. */
function withoutGaps(found: string): { text: string; breaks: number[] } {
  const breaks: number[] = []
  let [text, length, end] = ['', 0, 0]
  for (const { 0: gap, index } of found.matchAll(insideGaps)) {
    const piece = found.slice(end, index)
    text += piece
    length += [...piece].length
    end = index + gap.length
    if (/[.\n]/.test(gap)) breaks.push(length)
  }
  return { text: text + found.slice(end), breaks }
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
  for (const reading of withoutClitics(lower)) readings.add(reading)
  return [...readings]
}

/** Arabic writes `the`, `and`, `with`, `by` and `for` onto the word. */
function withoutClitics(lower: string): string[] {
  if (!/^\p{sc=Arabic}/u.test(lower)) return []
  const article = /^ال../.test(lower) ? [lower.slice(2)] : []
  const others = [/^[وف]/, /^[وف]?[بل]/, /^[وف]?ب?ال/, /^[وف]?لل/].map((prefix) => lower.replace(prefix, ''))
  return [...article, ...others.filter((rest) => rest !== lower && rest.length >= 3)]
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
