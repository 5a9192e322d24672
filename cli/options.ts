import { InvalidArgumentError, Option } from 'commander'
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

/** Bytes from `512M`, `12G` or a plain number. */
export function bytesOption(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim())
  const power = ' KMGT'.indexOf(match?.[2]?.toUpperCase() || ' ')
  const bytes = match ? Number(match[1]) * 1024 ** power : Number.NaN
  if (!Number.isFinite(bytes) || bytes < 2 ** 26) throw new InvalidArgumentError('Allowed is 64M or more, such as 8G.')
  return Math.floor(bytes)
}

export function collect(value: string, earlier: string[] = []): string[] {
  return [...earlier, value]
}

export function providerOption(): Option {
  return new Option('--provider <name>', 'what computes')
    .choices([...executionProviders])
    .default('cpu')
    .env('MOMA_PROVIDER')
}
