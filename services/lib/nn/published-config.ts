/**
 * Reads the fields of a published `config.json` (diffusers, transformers, LLaVA) that a network needs; the rest is
 * ignored. Every getter throws a RangeError that names the file, the field, the value got and what is allowed.
 */
export interface PublishedConfig {
  /** A whole number from 1 to 1,000,000. */
  readonly size: (field: string, otherwise?: number) => number
  /** One or more sizes. */
  readonly sizes: (field: string) => number[]
  /** A finite number above 0. */
  readonly number: (field: string, otherwise?: number) => number
  readonly flag: (field: string, otherwise: boolean) => boolean
  /** Checks a field that nobody may set to anything else: it is missing, or `allowed`, or a list of nothing else. */
  readonly fixed: (field: string, allowed: string | number | boolean) => void
  /** Whether the field is there and null, which for some fields is a choice of its own. */
  readonly isNull: (field: string) => boolean
  readonly oneOf: <T extends string>(field: string, allowed: readonly T[], otherwise?: T) => T
}

export function publishedConfig(config: unknown, source: string): PublishedConfig {
  const fields = isRecord(config) ? config : fail(source, 'the config', config, 'a JSON object')
  const read = (field: string, otherwise: unknown) => fields[field] ?? otherwise
  return {
    size(field, otherwise) {
      const value = read(field, otherwise)
      return isSize(value) ? value : fail(source, field, value, 'a whole number from 1 to 1,000,000')
    },
    sizes(field) {
      const value = fields[field]
      if (Array.isArray(value) && value.length > 0 && value.length <= 16 && value.every(isSize)) return value
      return fail(source, field, value, 'a list of 1 to 16 whole numbers from 1 to 1,000,000')
    },
    number(field, otherwise) {
      const value = read(field, otherwise)
      if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
      return fail(source, field, value, 'a number above 0')
    },
    flag(field, otherwise) {
      const value = read(field, otherwise)
      return typeof value === 'boolean' ? value : fail(source, field, value, 'true or false')
    },
    fixed(field, allowed) {
      const value = read(field, allowed)
      const same = (Array.isArray(value) ? value : [value]).every((one) => one === allowed)
      if (!same) fail(source, field, value, `${JSON.stringify(allowed)} alone`)
    },
    isNull: (field) => fields[field] === null,
    oneOf(field, allowed, otherwise) {
      const value = read(field, otherwise)
      return allowed.find((one) => one === value) ?? fail(source, field, value, `one of ${allowed.join(', ')}`)
    },
  }
}

function fail(source: string, field: string, value: unknown, allowed: string): never {
  const got = value === undefined ? 'nothing' : JSON.stringify(value)?.slice(0, 100)
  throw new RangeError(`${source}: ${field} is ${got}, allowed is ${allowed}`)
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 1_000_000
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
