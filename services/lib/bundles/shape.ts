import { BundleError } from './errors.ts'

/** Where a value stands: the file as it is shown to people, and the path of the field inside it. */
export interface Place {
  readonly file: string
  readonly path: string
}

/** Checks an unknown JSON value and gives it its type, or throws a `BundleError` that names file, field, value and what is allowed. */
export type Shape<T> = (value: unknown, at: Place) => T

type Fields = Record<string, Shape<unknown>>
type Typed<F extends Fields> = { readonly [K in keyof F]: F[K] extends Shape<infer T> ? T : never }

const longestShown = 80

function shown(value: unknown): string {
  const text = value === undefined ? 'missing' : (JSON.stringify(value) ?? String(value))
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text
}

/** The error for a field whose value is not allowed. */
export function refuse(value: unknown, at: Place, allowed: string): BundleError {
  return new BundleError(
    'manifest',
    `${at.file}: ${at.path || 'the document'} is ${shown(value)}; allowed: ${allowed}.`,
  )
}

const inside = (at: Place, key: string | number): Place => ({
  file: at.file,
  path: typeof key === 'number' ? `${at.path}[${key}]` : at.path ? `${at.path}.${key}` : key,
})

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A string of 1 to `longest` characters, matching `pattern` where given; `allowed` says so in words. */
export function text(
  longest: number,
  pattern?: RegExp,
  allowed = `a text of 1 to ${longest} characters`,
): Shape<string> {
  return (value, at) => {
    if (typeof value !== 'string' || value.length < 1 || value.length > longest) throw refuse(value, at, allowed)
    if (pattern && !pattern.test(value)) throw refuse(value, at, allowed)
    return value
  }
}

export function number(min: number, max: number): Shape<number> {
  return (value, at) => {
    if (typeof value !== 'number' || !(value >= min && value <= max))
      throw refuse(value, at, `a number from ${min} to ${max}`)
    return value
  }
}

/** A whole number from `min` to `max` that is a multiple of `step`. */
export function integer(min: number, max: number, step = 1): Shape<number> {
  const allowed = `a whole number from ${min} to ${max}${step === 1 ? '' : ` that is a multiple of ${step}`}`
  return (value, at) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw refuse(value, at, allowed)
    if (value < min || value > max || value % step !== 0) throw refuse(value, at, allowed)
    return value
  }
}

export function oneOf<const T extends string | number>(...values: readonly T[]): Shape<T> {
  const allowed = values.map((value) => JSON.stringify(value)).join(', ')
  return (value, at) => {
    const found = values.find((candidate) => candidate === value)
    if (found === undefined) throw refuse(value, at, allowed)
    return found
  }
}

export function list<T>(item: Shape<T>, min: number, max: number): Shape<readonly T[]> {
  return (value, at) => {
    if (!Array.isArray(value) || value.length < min || value.length > max) {
      throw refuse(value, at, `a list of ${min === max ? min : `${min} to ${max}`} items`)
    }
    return value.map((entry: unknown, index) => item(entry, inside(at, index)))
  }
}

/** An object with names of its own, such as licences by their key. */
export function record<T>(item: Shape<T>, max: number): Shape<Readonly<Record<string, T>>> {
  return (value, at) => {
    if (!isPlain(value) || Object.keys(value).length > max)
      throw refuse(value, at, `an object of at most ${max} fields`)
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, item(entry, inside(at, key))]))
  }
}

/** Any JSON object, handed on as it is: network configs are checked by the network that reads them. */
export const anyObject: Shape<Readonly<Record<string, unknown>>> = (value, at) => {
  if (!isPlain(value)) throw refuse(value, at, 'an object')
  return value
}

/** An object with exactly these fields: a misspelt optional field must not pass as an absent one. */
export function object<R extends Fields, O extends Fields>(
  required: R,
  optional: O,
): Shape<Typed<R> & Partial<Typed<O>>> {
  const known = [...Object.keys(required), ...Object.keys(optional)]
  return (value, at) => {
    if (!isPlain(value)) throw refuse(value, at, `an object with the fields ${known.join(', ')}`)
    const unknown = Object.keys(value).find((key) => !known.includes(key))
    if (unknown !== undefined)
      throw refuse(value[unknown], inside(at, unknown), `no such field here, only ${known.join(', ')}`)
    const entries: [string, unknown][] = []
    for (const [key, shape] of Object.entries(required)) entries.push([key, shape(value[key], inside(at, key))])
    for (const [key, shape] of Object.entries(optional)) {
      if (value[key] !== undefined) entries.push([key, shape(value[key], inside(at, key))])
    }
    // Object.fromEntries forgets which key holds which type; every key was checked by its own shape above.
    return Object.fromEntries(entries) as Typed<R> & Partial<Typed<O>>
  }
}
