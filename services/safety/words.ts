import type { Finding, Safety, SafetyStage, Verdict } from './safety.ts'

/**
 * Judges by words alone: whether label or prompt asks for a person. Pictures are let through unseen. It reads English,
 * knows no names of people, and says so by its version; detectors that see are to take its place.
 */
export const policyVersion = 'words-1'

const detector = 'words'

/** Name a person wherever they stand. */
const people = setOf(`man men woman women person persons people human humans boy girl child children kid kids teen
  teenager guy lady gentleman gentlemen toddler infant baby babies adult adults somebody someone anybody anyone
  celebrity celebrities schoolboy schoolgirl grandmother grandfather grandma grandpa mother father mom mum dad son
  daughter sister brother aunt uncle husband wife girlfriend boyfriend bride bridegroom selfie`)

/** Of `people`, those that as often tell of what follows: a baby elephant, a kid glove, a son et lumière. */
const adjectives = setOf('baby human adult infant child kid teen son mother father lady')

/** Name a person as a subject; in a prompt they are costumes and pieces as often. */
const roles = setOf(`actor actress singer dancer president politician minister king queen prince princess doctor
  nurse teacher student pupil policeman policewoman policemen policewomen officer soldier chef cook farmer fireman
  firefighter worker athlete painter artist author writer priest pope monk nun sailor pilot astronaut cowboy
  butcher baker waiter waitress neighbour neighbor friend colleague boss me myself him her us them`)

const likenesses = setOf('face portrait likeness headshot mugshot selfie')

/** After them comes no noun that the word before would belong to. */
const functionWords = setOf(`of in on at with and or by from near under over to is are was who whose that which as for
  behind beside between into through like has have`)

export function createWordJudge(): Safety {
  return {
    reviewSubject: async ({ label }) => verdict(judgeLabel('SUBJECT', label)),
    // What the picture shall not show may well be people.
    reviewPrompt: async ({ label, prompt }) => verdict([...judgeLabel('PROMPT', label), ...judgePrompt(label, prompt)]),
    reviewPicture: async () => verdict([]),
  }
}

function verdict(findings: readonly Finding[]): Verdict {
  return { decision: findings.length > 0 ? 'REJECTED_PERSON' : 'ALLOWED', findings, policyVersion }
}

/** A label is one noun with what belongs to it: only its head says what it is, a baby's cup is a cup. */
function judgeLabel(stage: SafetyStage, label: string): Finding[] {
  const words = wordsOf(label)
  return words.flatMap((word, place) => {
    const isPerson = !word.possessive && (isIn(people, word) || isIn(roles, word)) && isHead(words, place)
    return isPerson ? [finding(stage, `"${word.text}" in the label names a person`)] : []
  })
}

function judgePrompt(label: string, prompt: string): Finding[] {
  const words = wordsOf(prompt)
  const labelWords = new Set(wordsOf(label).map(({ text }) => text))
  return words.flatMap((word, place) => {
    if (word.possessive || labelWords.has(word.text)) return []
    if (isIn(people, word) && (!isIn(adjectives, word) || isHead(words, place))) {
      return [finding('PROMPT', `"${word.text}" in the prompt names a person`)]
    }
    if (isIn(likenesses, word) && words[place + 1]?.text === 'of' && isOfPerson(words.slice(place + 2), labelWords)) {
      return [finding('PROMPT', `"${word.text} of" in the prompt asks for a person's likeness`)]
    }
    return []
  })
}

/** Of a thing, a likeness names the label or has an article before a noun; of a person, a name. */
function isOfPerson([first, second]: readonly Word[], labelWords: ReadonlySet<string>): boolean {
  if (!first) return false
  const named = [first, second].some((word) => word && labelWords.has(word.text))
  if (named) return false
  if (!/^(a|an|the|some|this|that|its|their)$/.test(first.text)) return true
  return second !== undefined && (isIn(people, second) || isIn(roles, second))
}

function isHead(words: readonly Word[], place: number): boolean {
  const next = words[place + 1]
  return !next || next.afterPause || isIn(functionWords, next) || next.text.endsWith('ing')
}

function isIn(set: ReadonlySet<string>, { text }: Word): boolean {
  return set.has(text) || (text.endsWith('s') && set.has(text.slice(0, -1)))
}

function finding(stage: SafetyStage, reason: string): Finding {
  return { stage, detector, reason, score: 1, threshold: 0.5, region: null }
}

interface Word {
  readonly text: string
  /** Whether punctuation parts it from the word before. */
  readonly afterPause: boolean
  readonly possessive: boolean
}

function wordsOf(text: string): Word[] {
  const plain = normalise(text)
  let end = 0
  return [...plain.matchAll(/([\p{L}\p{N}@$]+)('s\b|s'(?=\s|$))?/gu)].map(
    ({ 0: whole, 1: word = '', 2: suffix, index }) => {
      const afterPause = /[.,;:!?()\n]/.test(plain.slice(end, index))
      end = index + whole.length
      return { text: unmasked(word), afterPause, possessive: suffix !== undefined }
    },
  )
}

/** Letters of other scripts that look like Latin ones (Unicode TR 39, the common part), as they stand after lower-casing. */
const confusables: Readonly<Record<string, string>> = Object.fromEntries(
  zip('авекмнорстухіѕјһԁԛԝьɡɑαεικνορτυχωսոօհ', 'abekmhopctyxisjhdqwbgaaeikvoptuxwunoh'),
)
const digits: Readonly<Record<string, string>> = Object.fromEntries(zip('01345@$', 'oieasas'))

/** Lower case in NFKC without marks, invisible characters and look-alikes; letters that are spelt out are put together. */
function normalise(text: string): string {
  const plain = text
    .normalize('NFKC')
    .toLowerCase()
    .normalize('NFD')
    .replace(/[\p{M}\p{Cf}]/gu, '')
    .replace(/[’ʼ`´]/g, "'")
    .replace(/\P{ASCII}/gu, (letter) => confusables[letter] ?? letter)
  return plain.replace(/(?<![\p{L}\p{N}])\p{L}(?:[ ._*-]\p{L}){2,}(?![\p{L}\p{N}])/gu, (spelt) =>
    spelt.replace(/[ ._*-]/g, ''),
  )
}

/** Digits read as the letters they stand for, in words that have letters. */
function unmasked(word: string): string {
  return /\p{L}/u.test(word) ? word.replace(/[01345@$]/g, (digit) => digits[digit]!) : word
}

function zip(from: string, to: string): [string, string][] {
  return [...from].map((letter, place) => [letter, [...to][place]!])
}

function setOf(words: string): ReadonlySet<string> {
  return new Set(words.split(/\s+/))
}
