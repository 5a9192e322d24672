import { open } from 'node:fs/promises'

/** A value read from JSON whose shape is not known yet. */
export type JsonObject = Readonly<Record<string, unknown>>

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The whole file, or undefined where there is none; throws when it is larger than `maxBytes` or not a plain file. */
export async function readIfPresent(path: string, maxBytes: number): Promise<Buffer | undefined> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw new Error(`${path} can't be read: ${error.code}`)
  })
  if (!handle) return undefined
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new Error(`${path} is not a file`)
    if (stat.size > maxBytes) throw new Error(`${path} has ${stat.size} bytes; at most ${maxBytes} are allowed`)
    return await handle.readFile()
  } finally {
    await handle.close()
  }
}

/** The file's JSON object, or undefined where there is no such file; throws when it is no JSON or no object. */
export async function readObjectIfPresent(path: string, maxBytes: number): Promise<JsonObject | undefined> {
  const bytes = await readIfPresent(path, maxBytes)
  if (!bytes) return undefined
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw new Error(`${path} is not JSON: ${error instanceof Error ? error.message : error}`)
  }
  if (!isObject(value)) throw new Error(`${path} holds ${show(value)}; a JSON object is expected`)
  return value
}

/** A value in a message: its JSON, at most 80 characters of it. */
export function show(value: unknown): string {
  const json = JSON.stringify(value) ?? String(value)
  return json.length > 80 ? `${json.slice(0, 77)}...` : json
}
