import type { Tag } from './lexicon.ts'
import type { Word } from './reading.ts'
import { type Field, isKnownThing } from './things.ts'

/** Whether no noun follows that the word would belong to. */
export function isHead(words: readonly Word[], place: number, joins = 2): boolean {
  const { tags } = words[place]!
  const next = words[place + 1]
  if (!next || next.afterPause) return true
  // Chinese counts persons by words of their own.
  if (words[place]!.han && /[位名群]$/.test(words[place - 1]?.text ?? '')) return true
  if (tags.has('roles') && !tags.has('compounds') && !next.tags.has('ownerLinks')) return true
  if (next.tags.has('ownerLinks')) {
    const owned = words[place + 2]
    return owned !== undefined && (owned.tags.has('bodyParts') || owned.tags.has('functionWords'))
  }
  // `a family of ducks`
  if (tags.has('modifiers') && next.tags.has('links')) {
    if ([2, 3].some((ahead) => words[place + ahead]?.tags.has('animals'))) return false
  }
  // `king and queen pieces`
  const joined = next.tags.has('conjunctions') && words[place + 2]?.tags.has('roles')
  if (joined && joins > 0 && !words[place + 2]!.afterPause) return isHead(words, place + 2, joins - 1)
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
  return ends.some((tag) => next.tags.has(tag)) || /^[a-z]{3,}ing$/.test(next.text) || doesSomething(words, place)
}

/** `a nurse checks`: after `a`, what ends in -s is what one of them does. */
function doesSomething(words: readonly Word[], place: number): boolean {
  const back = words[place - 1]?.tags.has('qualities') ? 2 : 1
  const isSingle = /^(?:an?|my|his|her)$/.test(words[place - back]?.text ?? '')
  return isSingle && /^[a-z]+[^aiosu]s$/.test(words[place + 1]!.text)
}

/** `dressed as a doctor`, `is the king`, `a dog astronaut`: a costume or a comparison. */
export function isCostume(words: readonly Word[], place: number): boolean {
  const wearer = words[place]!.afterPause ? undefined : words[place - 1]
  // Of a label that no list knows, nobody can tell whether it is a noun: `tall`, `a tall policeman`.
  if (wearer && !wearer.possessive && (wearer.tags.has('animals') || (wearer.labelled && isKnownThing(wearer))))
    return true
  for (let before = place - 1; before >= Math.max(0, place - 3); before--) {
    const word = words[before]!
    if (word.tags.has('costumeCues')) return true
    if (word.afterPause) return false
  }
  return false
}

/** `a beach without people`. A label says what there is. */
export function isNegated(words: readonly Word[], place: number, field: Field): boolean {
  const [before, earlier] = [words[place - 1], words[place - 2]]
  if (field === 'label' || !before || words[place]!.afterPause) return false
  if (before.tags.has('negations')) return true
  return before.tags.has('articles') && !before.afterPause && (earlier?.tags.has('negations') ?? false)
}
