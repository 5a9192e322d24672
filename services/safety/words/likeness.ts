import { reach } from './audiences.ts'
import { isNegated } from './heads.ts'
import type { Tag } from './lexicon.ts'
import type { Word } from './reading.ts'
import { type Field, isKnownThing, isPersonWord, noPiling, thingAhead, thingBehind } from './things.ts'

/** Scripts without capitals: a name looks like any word that no list knows. */
const caseless = /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Arabic}\p{sc=Devanagari}]/u

/** `the face of Ada`, `Ada's face`, `swap it with Ada`, `deepfake`. */
export function asksForLikeness(words: readonly Word[], place: number, field: Field): boolean {
  const word = words[place]!
  if (word.innocent || isNegated(words, place, field)) return false
  if (word.tags.has('alwaysLikeness')) return thingAhead(words, place) === null
  const next = words[place + 1]
  if (word.possessive && next?.tags.has('likenesses')) return word.capital && !isKnownThing(word)
  if (word.tags.has('likenesses') && next && !next.afterPause && (next.tags.has('links') || isBareOwner(word, next))) {
    const owner = next.tags.has('links') ? place + 2 : place + 1
    const isFace = !word.tags.has('bodyParts') || word.tags.has('faces')
    const isNamed = next.tags.has('articles') ? isPlainlyNamed(words, owner) : isSomebody(words, owner, isFace)
    return isNamed && thingBehind(words, owner, field) === null
  }
  if (word.tags.has('likenesses') && words[place - 1]?.tags.has('ownerLinks')) {
    const owner = words[place - 2]
    return owner !== undefined && !isKnownThing(owner)
  }
  if (word.tags.has('insteadOf') && givesWay(words, place)) return true
  if (word.tags.has('replaceVerbs')) {
    if (isSwap(word) && isNameInPlace(words, place)) return true
    // Hindi and Japanese have the verb behind: `मुझ से बदल दो`.
    if (words[place - 1]?.tags.has('replaceLinks') && words[place - 2]?.tags.has('pronouns')) return true
    for (let link = place + 1; link <= place + reach && words[link] && !words[link]!.afterPause; link++) {
      if (!words[link]!.tags.has('replaceLinks')) continue
      // `for that of Ada`
      const isThat = words[link + 1]?.tags.has('articles') && words[link + 2]?.tags.has('links')
      const put = isThat ? link + 3 : link + 1
      if (!isSomebody(words, put, false)) continue
      if (words[put]!.tags.has('pronouns')) return true
      return isSwap(word) && (!isGermanNoun(words, place, put) || isFullName(words, put))
    }
  }
  return false
}

/** `лицо Путина`, `وجه رجل`: Russian and Arabic have the owner right behind the likeness. */
function isBareOwner(likeness: Word, next: Word): boolean {
  const ends: readonly Tag[] = ['functionWords', 'conjunctions', 'bearing', 'qualities', 'costumeCues']
  return /[\p{sc=Cyrillic}\p{sc=Arabic}]/u.test(likeness.text) && !ends.some((tag) => next.tags.has(tag))
}

/** `ersetze den Teppich durch Gras`: a capital is a name where it is the subject that goes, or where there are two. */
function isGermanNoun(words: readonly Word[], place: number, put: number): boolean {
  if (!/^(ersetz|tausch|vertausch|wechs)/.test(words[place]!.text) || isPersonWord(words[put]!)) return false
  return words[put]!.capital && !words.slice(place, put).some(isSubject)
}

/** `das Gesicht der Wanduhr`: an article that is a link too, and capitals that every noun has. */
function isPlainlyNamed(words: readonly Word[], place: number): boolean {
  return words.slice(place, place + 2).some(isPersonWord) || isFullName(words, place)
}

function isFullName(words: readonly Word[], place: number): boolean {
  const [first, last] = [words[place], words[place + 1]]
  if (!first?.capital || !last?.capital || last.afterPause) return false
  return !isKnownThing(first) && !isKnownThing(last)
}

/** `instead of the dog, Ada Lovelace`. */
function givesWay(words: readonly Word[], place: number): boolean {
  for (let next = place + 1; next <= place + 5; next++) {
    if (words[next] && isSubject(words[next]!)) return isFullName(words, next + 1) || isFullName(words, place - 2)
  }
  return false
}

/** The thing that a prompt is about, as far as words tell. */
function isSubject({ labelled, tags }: Word): boolean {
  return labelled || tags.has('animals') || tags.has('its')
}

/** `把狗换成…`, `कुत्ते को … से बदल दो`: what takes the subject's place is a name where no list knows a word of it. */
function isNameInPlace(words: readonly Word[], place: number): boolean {
  const hasSubject = (from: number, to: number) => words.slice(Math.max(0, from), Math.max(0, to)).some(isSubject)
  const isName = (name: readonly Word[]) =>
    name.every(({ text, tags }) => caseless.test(text) && tags.size === 0) &&
    name.map(({ text }) => text).join('').length > 1
  const endOf = (word: Word) => word.tags.has('functionWords') || word.tags.has('ownerLinks')
  if (words[place - 1]?.tags.has('replaceLinks') && noPiling.test(words[place]!.text)) {
    let from = place - 1
    while (from > 0 && from > place - reach && !words[from]!.afterPause && !endOf(words[from - 1]!)) from--
    return isName(words.slice(from, place - 1)) && hasSubject(from - reach, from)
  }
  for (let link = place + 1; link <= place + reach && words[link] && !words[link]!.afterPause; link++) {
    const isClitic = /^ب\p{sc=Arabic}{3}/u.test(words[link]!.text) && words[link]!.tags.size === 0
    if (!isClitic && !words[link]!.tags.has('replaceLinks')) continue
    const from = isClitic ? link : link + 1
    let to = from
    while (words[to] && (to === from || !words[to]!.afterPause) && to < from + reach && !endOf(words[to]!)) to++
    return isName(words.slice(from, to)) && hasSubject(place - reach, link)
  }
  return false
}

/** Turning something into Lego is a texture; replacing it by a name is a person. */
function isSwap({ text }: Word): boolean {
  return /^(replac|swap|exchang|substitu|reempla|sustitu|cambi|remplac|echang|ersetz|tausch|troc|troqu|sostitu|scambi|rimpiazz|замен|помен|смен|обмен|استبد|بدل|बदल|换|換|替|置)/.test(
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
    const others = words.slice(place + 1, place + 3).filter(({ innocent }) => !innocent)
    const [second] = others
    return others.some(isPersonWord) || (isOwned && (second?.tags.has('modifiers') ?? false))
  }
  if (isKnownThing(first)) return false
  if (isPersonWord(first) || first.capital) return true
  return strict && !words.slice(place, place + 2).some(isKnownThing)
}
