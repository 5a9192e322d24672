import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RequestHandler } from 'express'

const folder = join(import.meta.dirname, '../explorer')

const files = {
  '/explorer': ['index.html', 'text/html; charset=utf-8'],
  '/explorer/explorer.css': ['explorer.css', 'text/css; charset=utf-8'],
  '/explorer/explorer.js': ['explorer.js', 'text/javascript; charset=utf-8'],
  '/explorer/examples.js': ['examples.js', 'text/javascript; charset=utf-8'],
} as const

/** A page to try operations at. It loads nothing from anywhere else; pictures come from where their addresses say. */
export function serveExplorer(publicUrl: () => string): RequestHandler {
  const pages = new Map(
    Object.entries(files).map(([path, [name, type]]) => [path, { type, bytes: readFileSync(join(folder, name)) }]),
  )
  const policy = () =>
    [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "connect-src 'self'",
      `img-src 'self' ${new URL(publicUrl()).origin}`,
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join('; ')
  return (request, response, next) => {
    const page = pages.get(request.path)
    if (!page || (request.method !== 'GET' && request.method !== 'HEAD')) return next()
    response.set({ 'content-security-policy': policy(), 'content-type': page.type }).send(page.bytes)
  }
}
