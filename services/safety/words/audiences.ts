import type { Word } from './reading.ts'

/** Steps that are walked from a word to what it belongs to. */
export const reach = 8

/** `a slide for kids`: nobody is there, unless it goes on about them. */
export function isAudience(words: readonly Word[], place: number): boolean {
  if (!words[place]!.tags.has('audiences') || isSwappedFor(words, place, place)) return false
  let next = place + 1
  while (next < place + 3 && (words[next]?.tags.has('ownerLinks') || words[next]?.tags.has('audiences'))) next++
  const first = words[next]
  if (!first) return true
  if (isDoing(first)) return false
  if (first.afterPause) return true
  if (!first.tags.has('places') && !first.tags.has('conjunctions')) return false
  for (let word = words[++next], steps = 0; word && !word.afterPause && steps < reach; word = words[++next], steps++) {
    if (isDoing(word) || word.tags.has('clothing') || word.tags.has('bodyParts')) return false
  }
  return true
}

/** `laughing`, `jugando`, `смеющихся`, `who sit`. */
export function isDoing(word: Word | undefined): boolean {
  return (
    word !== undefined && (word.tags.has('doings') || /^[a-z]{3,}ing$|[aei]ndo$|[уюая]щ[а-я]{2,3}$/.test(word.text))
  )
}

/** `swap the doll for a girl`: between thing and person stands what says that the person takes its place. */
export function isSwappedFor(words: readonly Word[], thing: number, person: number): boolean {
  if (!words.slice(thing, person + 1).some(({ tags }) => tags.has('replaceLinks') || tags.has('audiences')))
    return false
  for (let before = thing; before >= Math.max(0, thing - reach); before--) {
    const { tags, afterPause } = words[before]!
    if (tags.has('replaceVerbs')) return true
    if (afterPause || (before < thing - 1 && tags.has('replaceLinks'))) return false
  }
  return false
}
