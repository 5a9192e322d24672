import { isIPv4 } from 'node:net'
import type { z } from 'zod'
import {
  addressesSetting,
  ConfigError,
  readConfig,
  serverShape,
  setting,
  wholeSetting,
  wordSetting,
} from '../services/lib/mesh/config.ts'

/** How callers prove who they are. */
export const authModes = ['auto', 'keys', 'open'] as const
export type AuthMode = (typeof authModes)[number]

/** The gateway's variables; those of TLS are for its connections to the services, HTTPS is its load balancer's work. */
export const gatewayShape = {
  ...serverShape,
  HOST: setting('a host name or IP address', (text) => (/^[\w.:-]+$/.test(text) ? text : null)).default('127.0.0.1'),
  /** 0 for any free one. */
  PORT: wholeSetting(0, 65_535).default(4000),
  MOMA_GENERATION: addressesSetting,
  /**
   * `keys`: every operation needs an API key. `open`: none does, and everybody is the tenant "local"; for this machine
   * alone. `auto`: keys, but for this machine alone open for as long as there are no keys.
   */
  MOMA_AUTH: wordSetting(authModes).default('auto'),
  /** Web pages of these origins may use the gateway. */
  MOMA_CORS_ORIGINS: setting('origins such as https://studio.example.com with commas between', readOrigins).default([]),
  /**
   * How clients reach the gateway: begins the addresses of pictures and uploads. Without it, its own HOST and PORT. One
   * that is not of loopback says that others are let in to a gateway on loopback, such as by a proxy.
   */
  MOMA_PUBLIC_URL: setting('a URL such as https://moma.example.com', readPublicUrl).optional(),
  /** The page to try queries at; `auto`: on loopback alone. */
  MOMA_EXPLORER: wordSetting(['auto', 'on', 'off']).default('auto'),
}

export type GatewayConfig = z.infer<z.ZodObject<typeof gatewayShape>>

/** Throws a ConfigError that names the variable and what is allowed. */
export function readGatewayConfig(env: NodeJS.ProcessEnv): GatewayConfig {
  const config = readConfig(gatewayShape, env)
  if (config.MOMA_AUTH === 'open' && !isForThisMachine(config)) {
    throw new ConfigError(
      `MOMA_AUTH is "open"; allowed: keys or auto where HOST or MOMA_PUBLIC_URL is not of loopback.`,
    )
  }
  return config
}

/** Whether whoever reaches the gateway is on this machine, as far as its variables say. */
export function isForThisMachine({
  HOST,
  MOMA_PUBLIC_URL: url,
}: Pick<GatewayConfig, 'HOST' | 'MOMA_PUBLIC_URL'>): boolean {
  return isLoopback(HOST) && (url === undefined || isLoopback(new URL(url).hostname))
}

/** Whether only this machine can reach what listens at `host`. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, '$1').toLowerCase()
  return name === 'localhost' || name === '::1' || (isIPv4(name) && name.startsWith('127.'))
}

function readOrigins(text: string): string[] | null {
  const origins = text.split(',').map((origin) => origin.trim())
  return origins.every((origin) => URL.canParse(origin) && new URL(origin).origin === origin) ? origins : null
}

/** Without a slash at its end. */
function readPublicUrl(text: string): string | null {
  if (!URL.canParse(text)) return null
  const { protocol, search, hash, username, href } = new URL(text)
  if (!['http:', 'https:'].includes(protocol) || search || hash || username) return null
  return href.replace(/\/+$/, '')
}
