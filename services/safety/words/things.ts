import { isDoing, isSwappedFor, reach } from './audiences.ts'
import type { Tag } from './lexicon.ts'
import type { Word } from './reading.ts'

/** Things that people's words name, for which a policy decides whether they are things. */
export const closeCalls = ['statue', 'doll', 'robot', 'carrier', 'clothing'] as const
export type CloseCall = (typeof closeCalls)[number]

/** What a word names that a person's word may belong to. */
export type Thing = CloseCall | 'object'

/** Whether a text is judged as the name of the subject or as what a picture shall show. */
export type Field = 'label' | 'prompt'

/** Scripts whose languages put no noun before another one that it belongs to. */
export const noPiling = /[\p{sc=Devanagari}\p{sc=Arabic}\p{sc=Cyrillic}]/u

/** Endings of Russian cases that say of nobody whose something is, and of adjectives that stand before who it is. */
const otherCases = /(?:[уюе]|[оеы]м|ои|[ое]ю|[ая]ми?|[ая]х)$/
const russianAdjective = /(?:[ое]го|[ое]и|[ыи]х)$/

/** The thing that a word names, for itself. */
export function thingOf({ tags }: Word): Thing | null {
  return closeCalls.find((kind) => tags.has(kind)) ?? (tags.has('object') ? 'object' : null)
}

/** Whether a word names a person wherever it stands, or by what the person does. */
export function isPersonWord({ tags }: Word): boolean {
  return tags.has('people') || tags.has('children') || tags.has('roles')
}

/** Whether a word names what is no person. */
export function isKnownThing(word: Word): boolean {
  if (word.innocent || word.tags.has('animals') || thingOf(word) !== null) return true
  return [...word.tags].some((tag) => tag.startsWith('materials:'))
}

/** `woman's shoes`, `boy scout badge`, 女孩的娃娃: the thing stands behind the person's word. */
export function thingAhead(words: readonly Word[], place: number): Thing | null {
  const owner = words[place]!
  // Where nouns do not pile up, what follows without a link is what somebody acts on: `लड़का किताब पढ़ रहा है`.
  let isApart = !owner.possessive && noPiling.test(owner.text)
  for (let next = place + 1; next <= place + reach; next++) {
    const word = words[next]
    if (!word || word.afterPause) return null
    if (word.tags.has('ownerLinks')) {
      isApart = false
      continue
    }
    if (word.tags.has('functionWords') && !owner.possessive) return null
    const thing = thingOf(word)
    if (thing) return isApart && ['object', 'clothing', 'carrier'].includes(thing) ? null : thing
    const belongs: readonly Tag[] = ['people', 'children', 'modifiers', 'roles', 'bodyParts', 'depictions']
    if (!owner.possessive && !belongs.some((tag) => word.tags.has(tag))) return null
    if (next > place + 3) return null
  }
  return null
}

/** `statue of a man`, `reloj de hombre`, `mug with a portrait of a woman`: it stands before. */
export function thingBehind(words: readonly Word[], place: number, field: Field): Thing | null {
  const person = words[place]!
  /** By what the thing is joined to the person: `of` is also how much there is of them. */
  let link: 'of' | 'for' | 'bearing' | null = null
  let pictured = false
  let unknown = 0
  if (person.afterPause) return null
  const bare = thingRightBefore(words, place)
  if (bare) return bare
  for (let before = place - 1; before >= Math.max(0, place - reach); before--) {
    const word = words[before]!
    const has = (...wanted: readonly Tag[]) => wanted.some((tag) => word.tags.has(tag))
    const thing = has('animals') ? null : thingOf(word)
    if (
      thing &&
      link &&
      (thing === 'object' ? link === 'for' : link !== 'bearing' || pictured || thing === 'carrier')
    ) {
      // Who does something is there, and so is who is put in the thing's place.
      const isThere = link === 'for' && (thing === 'object' || thing === 'clothing') && isDoing(words[place + 1])
      return isThere || isSwappedFor(words, before, place) ? null : thing
    }
    if (has('links')) link = word.text === 'of' ? 'of' : 'for'
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

/** `تمثال رجل`, `статуя старой женщины`: Arabic and Russian join by place and case. */
function thingRightBefore(words: readonly Word[], place: number): Thing | null {
  const { text, tags } = words[place]!
  let before = place - 1
  if (tags.has('cases') && !otherCases.test(text)) {
    while (words[before] && russianAdjective.test(words[before]!.text) && before > place - 3) before--
  } else if (!/^\p{sc=Arabic}/u.test(text) || words[before]?.text.startsWith('ال')) return null
  const thing = words[before]
  return thing && !thing.tags.has('animals') ? thingOf(thing) : null
}

/** `gingerbread man`, `toy soldier`, `homme de neige`: what a figure is made of. */
export function madeOf(words: readonly Word[], place: number): CloseCall | null {
  const materialOf = (word: Word | undefined) =>
    word ? (['statue', 'doll', 'robot'] as const).find((kind) => word.tags.has(`materials:${kind}`)) : undefined
  const isOwned = words[place - 1]?.tags.has('ownerLinks')
  const before = words[place]!.afterPause ? undefined : materialOf(words[isOwned ? place - 2 : place - 1])
  if (before) return before
  const [link, material] = [words[place + 1], words[place + 2]]
  return link && !link.afterPause && link.tags.has('links') ? (materialOf(material) ?? null) : null
}

/** `a woman's face`: it is she who is seen. */
export function ownsBodyOrPicture(words: readonly Word[], place: number): boolean {
  const [next, link] = [words[place + 1], words[place + 2]]
  if (!next || next.afterPause) return false
  if (next.tags.has('bodyParts')) return true
  // A child's drawing of a house is the house's.
  return next.tags.has('depictions') && !link?.tags.has('links')
}
