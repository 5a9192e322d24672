import type { Finding, SafetyStage } from '../safety.ts'
import { isAudience } from './audiences.ts'
import { isCostume, isHead, isNegated } from './heads.ts'
import type { Lexicon } from './lexicon.ts'
import { asksForLikeness } from './likeness.ts'
import { readText, type Word } from './reading.ts'
import { type CloseCall, type Field, madeOf, ownsBodyOrPicture, thingAhead, thingBehind } from './things.ts'

export { type CloseCall, closeCalls } from './things.ts'

export interface WordPolicy {
  readonly closeCalls: Readonly<Record<CloseCall, 'thing' | 'person'>>
}

export interface WordJudge {
  /** What speaks against a label: it names a person, or is sexual. */
  judgeLabel(label: string, stage: SafetyStage): Finding[]
  /** What speaks against a prompt: a person anywhere in it, somebody's likeness, sexual content. */
  judgePrompt(prompt: string, label: string): Finding[]
}

/** People of ten findings are as many as of a hundred. */
const maxFindings = 8

/** A person of every kind and skin tone as a pictograph: Unicode's emoji of persons, without hands and creatures. */
const personEmoji =
  /[\u{1F466}-\u{1F478}\u{1F47C}\u{1F481}-\u{1F483}\u{1F486}\u{1F487}\u{1F574}\u{1F57A}\u{1F645}-\u{1F647}\u{1F64B}\u{1F64D}\u{1F64E}\u{1F6B6}\u{1F926}\u{1F930}-\u{1F939}\u{1F9CD}-\u{1F9CF}\u{1F9D1}-\u{1F9D9}]/u
const sexualEmoji = /[\u{1F51E}\u{1F595}]/u

/** Judges words by lists and rules; the lists' files and docs/safety.md give the reasons. */
export function createWordJudge(lexicon: Lexicon, policy: WordPolicy): WordJudge {
  const judge = (text: string, field: Field, stage: SafetyStage, words: readonly Word[]): Finding[] => {
    const content: Finding[] = []
    const persons: Finding[] = []
    const tell = (findings: Finding[], kind: string, reason: string) => {
      if (findings.length === maxFindings) return
      findings.push({ stage, detector: `words/${kind}`, reason, score: 1, threshold: 0.5, region: null })
    }
    const where = `in the ${field}`
    if (sexualEmoji.test(text)) tell(content, 'sexual', `A sign ${where} asks for sexual content`)
    if (personEmoji.test(text)) tell(persons, 'person', `A pictograph ${where} shows a person`)
    const hasChild = words.some((word) => word.tags.has('children') && !word.innocent)
    words.forEach((word, place) => {
      const asked = contentOf(word)
      if (asked) {
        const minor = asked === 'minors' || hasChild
        const reason = `"${word.text}" ${where} asks for sexual content${minor ? ' with a minor' : ''}`
        tell(content, minor ? 'minor' : 'sexual', reason)
      } else if (persons.length < maxFindings) {
        const person = personAt(words, place, field, policy)
        if (person) tell(persons, 'person', `"${word.text}" ${where} names ${person}`)
        else if (asksForLikeness(words, place, field))
          tell(persons, 'likeness', `"${word.text}" ${where} asks for a person's likeness`)
      }
    })
    // Content first: it is the graver reason, which no number of persons may hide.
    return [...content, ...persons].slice(0, maxFindings)
  }
  return {
    judgeLabel: (label, stage) => judge(label, 'label', stage, readText(label, lexicon)),
    judgePrompt: (prompt, label) => judge(prompt, 'prompt', 'PROMPT', readText(prompt, lexicon, label)),
  }
}

/** Whatever is said to be absent: networks that draw know no `without`. */
function contentOf({ tags, innocentContent }: Word): 'sexual' | 'minors' | null {
  if (innocentContent) return null
  return tags.has('minors') ? 'minors' : tags.has('sexual') ? 'sexual' : null
}

/** What a word names when it names a person, in words; null when it names none. */
function personAt(words: readonly Word[], place: number, field: Field, policy: WordPolicy): string | null {
  const word = words[place]!
  const { tags } = word
  if (word.innocent || word.labelled || isNegated(words, place, field)) return null
  const always = tags.has('people') || tags.has('children')
  if (!always) {
    if (word.possessive) return null
    const isRole = tags.has('roles') && (field === 'label' || !isCostume(words, place))
    const maybe = tags.has('modifiers') || isRole || (tags.has('subjects') && field === 'label')
    if (!maybe || !isHead(words, place)) return null
  }
  if (isAudience(words, place)) return null
  const thing = thingAhead(words, place) ?? thingBehind(words, place, field) ?? madeOf(words, place)
  if (thing === 'object') return null
  if (thing) return policy.closeCalls[thing] === 'thing' ? null : `a ${thing} in the likeness of a person`
  // A label `woman's` alone says nothing of what is hers.
  const ownsSomething = word.possessive && (field === 'prompt' || words[place + 1] !== undefined)
  if (ownsSomething && !ownsBodyOrPicture(words, place)) return null
  return 'a person'
}
