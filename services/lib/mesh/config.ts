import { availableParallelism, totalmem } from 'node:os'
import { z } from 'zod'
import { defaultBundle } from '../bundles/default-bundle.ts'
import { allowedBytes, parseBytes } from '../byte-count.ts'
import { executionProviders } from '../runtime/recipe.ts'
import { type Address, parseAddress } from './address.ts'
import { logLevels } from './log.ts'

/** A variable of the environment that is not as it should be. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
}

/** Names whose values are not repeated in messages. */
const secretName = /KEY|SECRET|TOKEN|PASSWORD|URL/

/**
 * The settings of `shape` from the environment, where an empty variable is an absent one. Throws a ConfigError with
 * name, value and what is allowed.
 */
export function readConfig<Shape extends z.ZodRawShape>(
  shape: Shape,
  env: NodeJS.ProcessEnv,
): z.infer<z.ZodObject<Shape>> {
  const given = Object.keys(shape).flatMap((name) => (env[name] ? [[name, env[name]]] : []))
  const result = z.object(shape).safeParse(Object.fromEntries(given))
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  const name = String(path[0])
  const value = env[name]
  const shown = !value ? 'missing' : secretName.test(name) ? 'not usable' : JSON.stringify(value.slice(0, 80))
  throw new ConfigError(`${name} is ${shown}; allowed: ${message}.`)
}

/** A variable that `read` understands; `allowed` says what that is, null that it was not understood. */
export function setting<T>(allowed: string, read: (text: string) => T | null) {
  return z.string({ error: allowed }).transform((text, context) => {
    const value = read(text)
    if (value !== null) return value
    context.issues.push({ code: 'custom', message: allowed, input: text })
    return z.NEVER
  })
}

export function wholeSetting(min: number, max: number) {
  return setting(`a whole number from ${min} to ${max}`, (text) => {
    const value = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN
    return value >= min && value <= max ? value : null
  })
}

export function wordSetting<const Word extends string>(words: readonly Word[]) {
  return setting(words.join(', '), (text) => words.find((word) => word === text) ?? null)
}

export const textSetting = setting('a text', (text) => text)

export const addressSetting = setting('host:port, such as 127.0.0.1:7401', parseAddress)

/** One address or several, with commas between. */
export const addressesSetting = setting('one host:port or several with commas between', (text): Address[] | null => {
  const addresses = text.split(',').map(parseAddress)
  return addresses.every((address) => address !== null) ? addresses : null
})

const tlsShape = {
  MOMA_TLS_CERTIFICATE: textSetting.optional(),
  MOMA_TLS_KEY: textSetting.optional(),
  /** With it, a server takes only clients whose certificates it has signed, and a client only such servers. */
  MOMA_TLS_AUTHORITY: textSetting.optional(),
}

/** What every server reads. */
export const serverShape = {
  ...tlsShape,
  MOMA_METRICS_LISTEN: addressSetting.optional(),
  /** How long calls under way may take to finish once the server was told to end. */
  MOMA_DRAIN_MS: wholeSetting(0, 3_600_000).default(30_000),
  LOG_LEVEL: wordSetting(logLevels).default('info'),
}

/** What a server with networks reads beside it. */
export const computeShape = {
  ...serverShape,
  MOMA_BUNDLE: textSetting.default(defaultBundle),
  MOMA_PROVIDER: wordSetting(executionProviders).default('cpu'),
  MOMA_THREADS: wholeSetting(1, 256).default(availableParallelism()),
  /** Weights kept loaded at once. */
  MOMA_MEMORY: setting(allowedBytes, parseBytes).default(Math.floor(totalmem() / 2)),
  /** Calls that compute at once, and how many may wait for their turn. */
  MOMA_SLOTS: wholeSetting(1, 64).default(1),
  MOMA_QUEUE: wholeSetting(0, 10_000).default(64),
}

export type ServerConfig = z.infer<z.ZodObject<typeof serverShape>>
export type ComputeConfig = z.infer<z.ZodObject<typeof computeShape>>
