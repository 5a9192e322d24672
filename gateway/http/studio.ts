import { readdirSync, readFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { RequestHandler } from 'express'

export const studioFolder: string = join(import.meta.dirname, '../studio/dist')

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.jpg': 'image/jpeg',
}

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' blob: data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** The built studio at `/`, from memory; its assets have names of their content. Null where it is not built. */
export function serveStudio(folder: string = studioFolder): RequestHandler | null {
  const files = new Map(
    readTree(folder).map((name) => {
      const bytes = readFileSync(join(folder, name))
      const type = types[extname(name)] ?? 'application/octet-stream'
      const isText = type.startsWith('text/')
      return [name === 'index.html' ? '/' : `/${name}`, { type, bytes, packed: isText ? gzipSync(bytes) : null }]
    }),
  )
  if (!files.has('/')) return null
  return (request, response, next) => {
    const file = files.get(request.path)
    if (!file || (request.method !== 'GET' && request.method !== 'HEAD')) return next()
    const packed = request.acceptsEncodings('gzip') ? file.packed : null
    response.set({
      'content-security-policy': policy,
      'content-type': file.type,
      'cache-control': request.path === '/' ? 'no-cache' : 'public, max-age=31536000, immutable',
      vary: 'accept-encoding',
      ...(packed ? { 'content-encoding': 'gzip' } : {}),
    })
    response.send(packed ?? file.bytes)
  }
}

function readTree(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
  } catch {
    return []
  }
}
