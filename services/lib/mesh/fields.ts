import { invalid } from './errors.ts'

/** Readers of single fields of a request; each throws INVALID_ARGUMENT that names the field, what it was and what it may be. */

export function wholeField(field: string, value: number, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw invalid(field, value, `a whole number from ${min} to ${max}`)
}

export function numberField(field: string, value: number, min: number, max: number): number {
  if (Number.isFinite(value) && value >= min && value <= max) return value
  throw invalid(field, value, `a number from ${min} to ${max}`)
}

/** The word of ours that stands for a contract's enum value. */
export function wordField<Word extends string>(
  field: string,
  value: string | number,
  words: Readonly<Record<string, Word>>,
): Word {
  const word = Object.hasOwn(words, value) ? words[value] : undefined
  if (word === undefined) throw invalid(field, value, Object.keys(words).join(', '))
  return word
}

/** The contract's enum value for a word of ours. */
export function valueFor<Value extends string, Word extends string>(
  words: Readonly<Record<Value, Word>>,
  word: Word,
): Value {
  const entry = Object.entries(words).find(([, one]) => one === word)
  if (!entry) throw new TypeError(`there is no value for ${word}`)
  return entry[0] as Value
}
