/** A label or prompt that is not allowed: one sentence for whoever wrote it. */
export class TextError extends Error {
  override readonly name = 'TextError'
}

/** Bounds on what a person may write, in UTF-16 code units, which is how JavaScript counts characters. */
export const maxLabelCharacters = 100
export const maxPromptCharacters = 10_000
/** For any text given to a tokenizer: the longest prompt with the words that are put around it. */
export const maxTextCharacters = 20_000

/**
 * Throws unless `text` is well-formed Unicode of at most `maxCharacters`; `name` is what the message calls it.
 * Half a surrogate pair has no UTF-8 bytes, so no tokenizer could say which tokens it is.
 */
export function checkText(name: string, text: string, maxCharacters: number): void {
  if (text.length > maxCharacters) {
    throw new TextError(`${name} has ${text.length} characters; at most ${maxCharacters} are allowed`)
  }
  if (!text.isWellFormed())
    throw new TextError(`${name} holds half of a surrogate pair; only well-formed Unicode is allowed`)
}

/** Throws unless `prompt` is at most 10,000 characters of well-formed Unicode; an empty prompt is allowed. */
export function checkPrompt(prompt: string): void {
  checkText('prompt', prompt, maxPromptCharacters)
}

/** Throws unless `label` (the subject noun) is 1 to 100 characters of well-formed Unicode and not only white space. */
export function checkLabel(label: string): void {
  checkText('label', label, maxLabelCharacters)
  if (label.trim() === '') throw new TextError(`label ${JSON.stringify(label)} is empty; the subject's noun is needed`)
}
