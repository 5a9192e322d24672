import type { Finding, SafetyStage } from '../safety.ts'
import type { Lexicon, Tag } from './lexicon.ts'
import { readText, type Word } from './reading.ts'
import { tokensOf } from './tokens.ts'

/** Things that people's words name, for which a policy decides whether they are things. */
export const closeCalls = ['statue', 'doll', 'robot', 'carrier', 'clothing'] as const
export type CloseCall = (typeof closeCalls)[number]

export interface WordPolicy {
  readonly closeCalls: Readonly<Record<CloseCall, 'thing' | 'person'>>
}

export interface WordJudge {
  /** What speaks against a label: it names a person, or is sexual. */
  judgeLabel(label: string, stage: SafetyStage): Finding[]
  /** What speaks against a prompt: a person anywhere in it, somebody's likeness, sexual content. */
  judgePrompt(prompt: string, label: string): Finding[]
}

type Field = 'label' | 'prompt'

/** Steps that are walked from a word to the thing that it belongs to. */
const reach = 8
/** People of ten findings are as many as of a hundred. */
const maxFindings = 8

/** A person of every kind and skin tone as a pictograph: Unicode's emoji of persons, without hands and creatures. */
const personEmoji =
  /[\u{1F466}-\u{1F478}\u{1F47C}\u{1F481}-\u{1F483}\u{1F486}\u{1F487}\u{1F574}\u{1F57A}\u{1F645}-\u{1F647}\u{1F64B}\u{1F64D}\u{1F64E}\u{1F6B6}\u{1F926}\u{1F930}-\u{1F939}\u{1F9CD}-\u{1F9CF}\u{1F9D1}-\u{1F9D9}]/u
const sexualEmoji = /[\u{1F51E}\u{1F595}]/u

/** Judges words by lists and rules; the lists' files and docs/safety.md give the reasons. */
export function createWordJudge(lexicon: Lexicon, policy: WordPolicy): WordJudge {
  const judge = (text: string, field: Field, stage: SafetyStage, words: readonly Word[]): Finding[] => {
    const findings: Finding[] = []
    const tell = (kind: string, reason: string) =>
      findings.push({ stage, detector: `words/${kind}`, reason, score: 1, threshold: 0.5, region: null })
    const where = `in the ${field}`
    if (sexualEmoji.test(text)) tell('sexual', `A sign ${where} asks for sexual content`)
    if (personEmoji.test(text)) tell('person', `A pictograph ${where} shows a person`)
    const hasChild = words.some((word) => word.tags.has('children') && !word.innocent)
    for (let place = 0; place < words.length && findings.length < maxFindings; place++) {
      const { text: shown } = words[place]!
      const content = contentAt(words, place)
      if (content) {
        const minor = content === 'minors' || hasChild
        tell(minor ? 'minor' : 'sexual', `"${shown}" ${where} asks for sexual content${minor ? ' with a minor' : ''}`)
        continue
      }
      const person = personAt(words, place, field, policy)
      if (person) tell('person', `"${shown}" ${where} names ${person}`)
      else if (asksForLikeness(words, place, field))
        tell('likeness', `"${shown}" ${where} asks for a person's likeness`)
    }
    return findings
  }
  return {
    judgeLabel: (label, stage) => judge(label, 'label', stage, readText(label, lexicon)),
    judgePrompt(prompt, label) {
      // The label is judged by itself: where the prompt repeats it, it is the thing.
      const labelWords = tokensOf(label).map(({ text }) => text)
      return judge(prompt, 'prompt', 'PROMPT', readText(prompt, lexicon, labelWords))
    },
  }
}

function contentAt(words: readonly Word[], place: number): 'sexual' | 'minors' | null {
  const { tags, innocentContent } = words[place]!
  if (innocentContent || isNegated(words, place)) return null
  return tags.has('minors') ? 'minors' : tags.has('sexual') ? 'sexual' : null
}

/** What a word names when it names a person, in words; null when it names none. */
function personAt(words: readonly Word[], place: number, field: Field, policy: WordPolicy): string | null {
  const word = words[place]!
  const { tags } = word
  if (word.innocent || isNegated(words, place)) return null
  const always = tags.has('people') || tags.has('children')
  if (!always) {
    if (word.possessive) return null
    const isRole = tags.has('roles') && (field === 'label' || !isCostume(words, place))
    const maybe = tags.has('modifiers') || isRole || (tags.has('subjects') && field === 'label')
    if (!maybe || !isHead(words, place)) return null
  }
  const thing = thingAhead(words, place) ?? thingBehind(words, place, field) ?? madeOf(words, place)
  if (thing === 'object') return null
  if (thing) return policy.closeCalls[thing] === 'thing' ? null : `a ${thing} in the likeness of a person`
  if (word.possessive && !ownsBodyOrPicture(words, place)) return null
  return 'a person'
}

function thingOf({ tags }: Word): CloseCall | 'object' | null {
  return closeCalls.find((kind) => tags.has(kind)) ?? (tags.has('object') ? 'object' : null)
}

/** `woman's shoes`, `boy scout badge`, 女孩的娃娃: the thing stands behind the person's word. */
function thingAhead(words: readonly Word[], place: number): CloseCall | 'object' | null {
  const owner = words[place]!
  for (let next = place + 1; next <= place + reach; next++) {
    const word = words[next]
    if (!word || word.afterPause) return null
    const isLink = word.han && word.tags.has('links')
    if (isLink) continue
    if (word.tags.has('functionWords') && !owner.possessive) return null
    const thing = thingOf(word)
    if (thing) return thing
    const belongs: readonly Tag[] = ['people', 'children', 'modifiers', 'roles', 'bodyParts', 'depictions']
    if (!owner.possessive && !belongs.some((tag) => word.tags.has(tag))) return null
    if (next > place + 3) return null
  }
  return null
}

/** `statue of a man`, `reloj de hombre`, `mug with a portrait of a woman`: it stands before. */
function thingBehind(words: readonly Word[], place: number, field: Field): CloseCall | 'object' | null {
  /** By what the thing is joined to the person: `of` is also how much there is of them. */
  let link: 'of' | 'for' | 'bearing' | null = null
  let pictured = false
  let unknown = 0
  if (words[place]!.afterPause) return null
  for (let before = place - 1; before >= Math.max(0, place - reach); before--) {
    const word = words[before]!
    const has = (...wanted: readonly Tag[]) => wanted.some((tag) => word.tags.has(tag))
    const thing = has('animals') ? null : thingOf(word)
    if (
      thing &&
      link &&
      (thing === 'object' ? link === 'for' : link !== 'bearing' || pictured || thing === 'carrier')
    ) {
      return thing
    }
    if (has('links') && !word.han) link = word.text === 'of' ? 'of' : 'for'
    // In a prompt, what stands beside the thing may be meant.
    else if (has('bearing') && (pictured || field === 'label')) link = 'bearing'
    else if (has('depictions', 'likenesses')) pictured = true
    else if (has('conjunctions') && words[before - 1] && isPersonWord(words[before - 1]!)) before--
    else if (
      !has('articles', 'qualities', 'possessives', 'modifiers') &&
      (has('functionWords', 'bearing') || ++unknown > 2)
    ) {
      return null
    }
    if (word.afterPause) return null
  }
  return null
}

/** `gingerbread man`, `toy soldier`, `homme de neige`: what a figure is made of. */
function madeOf(words: readonly Word[], place: number): CloseCall | null {
  const materialOf = (word: Word | undefined) =>
    word ? (['statue', 'doll', 'robot'] as const).find((kind) => word.tags.has(`materials:${kind}`)) : undefined
  const before = words[place]!.afterPause ? undefined : materialOf(words[place - 1])
  if (before) return before
  const [link, material] = [words[place + 1], words[place + 2]]
  return link && !link.afterPause && link.tags.has('links') ? (materialOf(material) ?? null) : null
}

function isPersonWord({ tags }: Word): boolean {
  return tags.has('people') || tags.has('children') || tags.has('roles')
}

function ownsBodyOrPicture(words: readonly Word[], place: number): boolean {
  const [next, link] = [words[place + 1], words[place + 2]]
  if (!next || next.afterPause) return false
  if (next.tags.has('bodyParts')) return true
  // A child's drawing of a house is the house's.
  return next.tags.has('depictions') && !link?.tags.has('links')
}

/** Whether no noun follows that the word would belong to. */
function isHead(words: readonly Word[], place: number): boolean {
  const next = words[place + 1]
  if (!next || next.afterPause) return true
  if (next.han && next.tags.has('links')) {
    return words[place + 2]?.tags.has('bodyParts') ?? false
  }
  const ends: readonly Tag[] = [
    'functionWords',
    'qualities',
    'bodyParts',
    'depictions',
    'people',
    'children',
    'conjunctions',
    'bearing',
    'links',
  ]
  return ends.some((tag) => next.tags.has(tag)) || /^[a-z]{3,}ing$/.test(next.text)
}

/** `dressed as a doctor`, `is the king`, `a dog astronaut`: a costume or a comparison. */
function isCostume(words: readonly Word[], place: number): boolean {
  const wearer = words[place]!.afterPause ? undefined : words[place - 1]
  if (wearer && !wearer.possessive && (wearer.innocent || wearer.tags.has('animals'))) return true
  for (let before = place - 1; before >= Math.max(0, place - 3); before--) {
    const word = words[before]!
    if (word.tags.has('costumeCues')) return true
    if (word.afterPause) return false
  }
  return false
}

function isNegated(words: readonly Word[], place: number): boolean {
  const [before, earlier] = [words[place - 1], words[place - 2]]
  if (before?.tags.has('negations')) return true
  return before !== undefined && earlier !== undefined && before.tags.has('articles') && earlier.tags.has('negations')
}

/** `the face of Ada`, `Ada's face`, `swap it with Ada`, `deepfake`. */
function asksForLikeness(words: readonly Word[], place: number, field: Field): boolean {
  const word = words[place]!
  if (word.innocent || isNegated(words, place)) return false
  if (word.tags.has('alwaysLikeness')) return thingAhead(words, place) === null
  const next = words[place + 1]
  if (word.possessive && next?.tags.has('likenesses')) return word.capital && !isKnownThing(word)
  if (word.tags.has('likenesses') && next?.tags.has('links') && !next.afterPause && !next.han) {
    const isFace = !word.tags.has('bodyParts') || /^(face|faces|visage|likeness|gesicht|rostro)$/.test(word.text)
    return isSomebody(words, place + 2, isFace) && thingBehind(words, place + 2, field) === null
  }
  if (word.han && word.tags.has('likenesses') && words[place - 1]?.tags.has('links')) {
    const owner = words[place - 2]
    return owner !== undefined && !isKnownThing(owner)
  }
  if (word.tags.has('replaceVerbs')) {
    for (let link = place + 1; link <= place + reach && words[link] && !words[link]!.afterPause; link++) {
      if (words[link]!.tags.has('replaceLinks') && isSomebody(words, link + 1, false)) {
        return isSwap(word) || words[link + 1]!.tags.has('pronouns')
      }
    }
  }
  return false
}

/** Turning something into Lego is a texture; replacing it by a name is a person. */
function isSwap({ text }: Word): boolean {
  return /^(replac|swap|exchang|substitut|reempla|sustitu|cambi|remplac|echang|ersetz|tausch|troc|troqu|substitu)/.test(
    text,
  )
}

/** Whether a person's name, pronoun or role stands here; a lower-case word that no list knows counts where `strict`. */
function isSomebody(words: readonly Word[], place: number, strict: boolean): boolean {
  const first = words[place]
  if (!first || first.innocent) return false
  if (first.tags.has('pronouns')) return true
  const isOwned = first.tags.has('possessives')
  if (isOwned || first.tags.has('articles')) {
    const second = words[place + 1]
    return (
      second !== undefined && !second.innocent && (isPersonWord(second) || (isOwned && second.tags.has('modifiers')))
    )
  }
  if (isKnownThing(first)) return false
  if (isPersonWord(first) || first.capital) return true
  return strict && !words.slice(place, place + 2).some(isKnownThing)
}

function isKnownThing(word: Word): boolean {
  if (word.innocent || word.tags.has('animals') || thingOf(word) !== null) return true
  return [...word.tags].some((tag) => tag.startsWith('materials:'))
}
