import { InvalidArgumentError, Option } from 'commander'
import { allowedBytes, parseBytes } from '../services/lib/byte-count.ts'
import { executionProviders } from '../services/lib/runtime/recipe.ts'

/** Readers of option values for commander; each throws commander's InvalidArgumentError with what is allowed. */

export function numberOption(allowed: string, accepts: (value: number) => boolean) {
  return (text: string): number => {
    const value = text.trim() === '' ? Number.NaN : Number(text)
    if (!Number.isFinite(value) || !accepts(value)) throw new InvalidArgumentError(`Allowed is ${allowed}.`)
    return value
  }
}

export function wholeOption(min: number, max: number) {
  return numberOption(
    `a whole number from ${min} to ${max}`,
    (value) => Number.isInteger(value) && value >= min && value <= max,
  )
}

/** Bytes as `parseBytes` reads them. */
export function bytesOption(text: string): number {
  const bytes = parseBytes(text)
  if (bytes === null) throw new InvalidArgumentError(`Allowed is ${allowedBytes}.`)
  return bytes
}

export function collect(value: string, earlier: string[] = []): string[] {
  return [...earlier, value]
}

export function providerOption(): Option {
  const option = new Option('--provider <name>', 'what computes').choices([...executionProviders]).default('cpu')
  // To commander an empty variable is a value.
  return process.env.MOMA_PROVIDER === '' ? option : option.env('MOMA_PROVIDER')
}
