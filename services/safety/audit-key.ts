import { randomBytes, randomUUID } from 'node:crypto'
import { link, open, readFile, rm } from 'node:fs/promises'
import { ConfigError } from '../lib/mesh/config.ts'

const keyBytes = 32

/**
 * The key in `file`, which is made where there is none; several processes may do so at once, and have the same one then.
 * Throws a ConfigError where what lies there is no key.
 */
export async function openAuditKey(file: string): Promise<Buffer> {
  const key = (await readIfThere(file)) ?? (await makeKey(file))
  if (key.length === keyBytes) return key
  const allowed = `${keyBytes}, or no such file: a new key is made then, and its hashes match none of before`
  throw new ConfigError(`${file} holds ${key.length} bytes; allowed: ${allowed}.`)
}

async function makeKey(file: string): Promise<Buffer> {
  const beside = `${file}.${process.pid}.${randomUUID().slice(0, 8)}`
  try {
    {
      await using handle = await open(beside, 'wx', 0o600)
      await handle.writeFile(randomBytes(keyBytes))
      await handle.sync()
    }
    // Whole from the start: nobody ever reads half a key.
    await link(beside, file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(beside, { force: true })
  }
  return readFile(file)
}

async function readIfThere(file: string): Promise<Buffer | null> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    return null
  })
}
