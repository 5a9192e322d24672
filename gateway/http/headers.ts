import cors from 'cors'
import type { RequestHandler } from 'express'
import { isLoopback } from '../config.ts'
import { sendProblem } from './problem.ts'

/** What no answer of the gateway needs a browser to do: load anything, be framed, guess types, tell where it came from. */
export const guardHeaders: RequestHandler = (_, response, next) => {
  response.set({
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    'cross-origin-opener-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'cache-control': 'no-store',
  })
  next()
}

/** Lets web pages of these origins use the gateway; without any, only its own. */
export function allowOrigins(origins: readonly string[]): RequestHandler {
  if (origins.length === 0) return (_, __, next) => next()
  return cors({
    origin: [...origins],
    methods: ['GET', 'HEAD', 'POST', 'PUT'],
    allowedHeaders: ['authorization', 'content-type', 'range', 'if-none-match', 'x-request-id'],
    exposedHeaders: ['accept-ranges', 'content-range', 'etag', 'x-request-id'],
    maxAge: 600,
  })
}

/** The names under which a gateway that listens on loopback may be asked for. */
export interface OwnNames {
  readonly loopback: boolean
  publicUrl(): string
  readonly origins: readonly string[]
}

/**
 * Whether a request is for this gateway by the name in its Host header. On loopback a web page could otherwise reach it
 * under a name of its own that it has pointed here.
 */
export function isForUs(host: string | undefined, { loopback, publicUrl }: OwnNames): boolean {
  if (!loopback) return true
  const url = host === undefined ? null : URL.parse(`http://${host}`)
  return url !== null && (isLoopback(url.hostname) || url.host === new URL(publicUrl()).host)
}

export function refuseForeignHosts(names: OwnNames): RequestHandler {
  return (request, response, next) => {
    if (isForUs(request.headers.host, names)) return next()
    sendProblem(response, 421, 'the header Host names another server, allowed is this one: set MOMA_PUBLIC_URL')
  }
}

/**
 * Whether a page of this origin may open a WebSocket: the browser itself does not ask. Programs send no origin. Of pages
 * of its own the gateway knows both names: a proxy may have put another one into the Host header.
 */
export function mayConnect(origin: string | undefined, host: string | undefined, names: OwnNames): boolean {
  if (origin === undefined || origin === new URL(names.publicUrl()).origin) return true
  const own = URL.parse(origin)?.host
  return names.origins.includes(origin) || (own !== undefined && own === host)
}
