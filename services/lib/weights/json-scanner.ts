import { CheckpointError, maxTensors, quote } from './tensor-entry.ts'

/**
 * Reads JSON of a known grammar straight off its text: unlike JSON.parse it sees duplicate keys and every number as it
 * is written, and it builds nothing that was not asked for, so that memory stays near the size of the text.
 */
export interface JsonScanner {
  /** The first character of the next value, '' at the end of the text. */
  peek(): string
  /** The string that comes next; `what` names it in messages. */
  string(what: string): string
  /** The whole number from 0 to 2^53 − 1 that comes next. */
  wholeNumber(what: string): number
  /** The object that comes next; `member` reads the value of each key. A key that comes twice is an error. */
  object(what: string, member: (key: string) => void): void
  /** The array that comes next; `element` reads the value at each index. */
  array(what: string, element: (index: number) => void): void
  /** Passes over the value that comes next, whatever it is. */
  skip(what: string): void
  /** Only white space may be left. */
  end(): void
}

const maxDepth = 64
/** All tensors and the metadata of a safetensors header. */
const maxKeys = maxTensors + 1
const number = /-?[0-9][0-9.eE+-]{0,40}/y
const literal = /true|false|null/y
const space = /[ \t\n\r]*/y

/** Scans UTF-8 JSON. Errors are CheckpointErrors that name `path`, `document` and the place in it. */
export function scanJson(path: string, document: string, bytes: Uint8Array): JsonScanner {
  const text = decode(path, document, bytes)
  let position = 0
  let depth = 0

  const fail = (problem: string): never => {
    throw new CheckpointError(path, `${document}, character ${position}: ${problem}`)
  }
  const found = () => (position < text.length ? quote(text.slice(position, position + 20)) : 'the end')
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = position
    const matched = pattern.exec(text)?.[0]
    if (matched !== undefined) position += matched.length
    return matched
  }
  const peek = () => {
    match(space)
    return text.charAt(position)
  }
  const take = (char: string, what: string) => {
    if (peek() !== char) fail(`${what}: '${char}' is expected, got ${found()}`)
    position++
  }

  const string = (what: string): string => {
    take('"', what)
    const start = position
    let end = text.indexOf('"', start)
    while (end > 0 && isEscaped(text, start, end)) end = text.indexOf('"', end + 1)
    if (end < 0) fail(`${what}: the string has no end`)
    position = end + 1
    const raw = text.slice(start, end)
    const value = /[\\\p{Cc}]/u.test(raw) ? unescapeString(raw) : raw
    return value ?? fail(`${what}: ${quote(raw)} is no JSON string`)
  }

  const members = (what: string, open: string, close: string, one: (index: number) => void) => {
    take(open, what)
    if (++depth > maxDepth) fail(`${what} is nested deeper than ${maxDepth} levels`)
    for (let index = 0; peek() !== close; index++) {
      if (index > 0) take(',', what)
      one(index)
    }
    position++
    depth--
  }
  const object = (what: string, member: (key: string) => void) => {
    const keys = new Set<string>()
    members(what, '{', '}', () => {
      const key = string(`a key of ${what}`)
      if (keys.has(key)) fail(`${what} has the key ${quote(key)} twice`)
      if (keys.size === maxKeys) fail(`${what} has more than ${maxKeys} keys`)
      keys.add(key)
      take(':', what)
      member(key)
    })
  }
  const array = (what: string, element: (index: number) => void) => members(what, '[', ']', element)
  const skip = (what: string): void => {
    const next = peek()
    if (next === '{') object(what, () => skip(what))
    else if (next === '[') array(what, () => skip(what))
    else if (next === '"') string(what)
    else if (match(number) === undefined && match(literal) === undefined) fail(`${what}: got ${found()}`)
  }

  return {
    peek,
    string,
    object,
    array,
    skip,
    wholeNumber(what) {
      peek()
      const digits = match(number) ?? fail(`${what} is ${found()}; a whole number is allowed`)
      const value = Number(digits)
      if (!/^(0|[1-9][0-9]*)$/.test(digits) || !Number.isSafeInteger(value))
        return fail(`${what} is ${quote(digits)}; whole numbers from 0 to 2^53 − 1 are allowed`)
      return value
    },
    end() {
      if (peek() !== '') fail(`only white space may follow, got ${found()}`)
    },
  }
}

function decode(path: string, document: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new CheckpointError(path, `${document} is not UTF-8`)
  }
}

/** Whether the quote at `end` belongs to the string, being behind an odd number of backslashes. */
function isEscaped(text: string, start: number, end: number): boolean {
  let first = end
  while (first > start && text.charAt(first - 1) === '\\') first--
  return (end - first) % 2 === 1
}

function unescapeString(raw: string): string | undefined {
  try {
    const value: unknown = JSON.parse(`"${raw}"`)
    return typeof value === 'string' && value.isWellFormed() ? value : undefined
  } catch {
    return undefined
  }
}
