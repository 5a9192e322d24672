import { createHmac, randomBytes } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** One line of the log. Texts and pictures are there as keyed hashes alone. */
export interface AuditEntry {
  readonly gate: 'SUBJECT' | 'PROMPT' | 'PICTURE'
  readonly decision: string
  readonly policyVersion: string | null
  readonly findings: readonly {
    readonly detector: string
    readonly score: number
    readonly threshold: number
    readonly region: unknown
  }[]
  readonly hashes: Readonly<Record<string, string>>
  readonly elapsedMs: number
}

export interface AuditLog {
  /** Resolves once the line is written. Throws what the disk throws: a decision that can't be recorded is none. */
  append(entry: AuditEntry): Promise<void>
  /** HMAC-SHA-256 with the folder's own key, in 32 hexadecimal digits: equal inputs are found, short ones not guessed. */
  hash(bytes: Uint8Array | string): string
}

export interface AuditLogOptions {
  /** Bytes of one file before the next is begun. */
  readonly maxFileBytes?: number
  /** Files kept, the one being written included; older ones are removed. */
  readonly maxFiles?: number
}

const fileName = 'audit.jsonl'
const keyName = 'audit.key'
const hashDigits = 32

/**
 * Opens the append-only log in `folder`, which is made where it is missing: JSON lines in `audit.jsonl`, older ones in
 * `audit.1.jsonl` and so on, and the key of its hashes. One process a folder.
 */
export async function openAuditLog(
  folder: string,
  { maxFileBytes = 16 * 2 ** 20, maxFiles = 8 }: AuditLogOptions = {},
): Promise<AuditLog> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const key = await openKey(join(folder, keyName))
  const current = join(folder, fileName)
  let size = (await stat(current).catch(() => null))?.size ?? 0
  let last: Promise<void> = Promise.resolve()

  const older = (index: number) => (index === 0 ? current : join(folder, `audit.${index}.jsonl`))
  const rotate = async () => {
    await rm(older(maxFiles - 1), { force: true })
    for (let index = maxFiles - 2; index >= 0; index--) {
      await rename(older(index), older(index + 1)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
    }
    size = 0
  }
  const write = async (line: string) => {
    const bytes = Buffer.byteLength(line)
    if (size > 0 && size + bytes > maxFileBytes) await rotate()
    // Less than what another thread would take to open, write and close it, with a verdict waiting.
    appendFileSync(current, line, { mode: 0o600 })
    size += bytes
  }
  return {
    append(entry) {
      const line = `${JSON.stringify({ at: new Date().toISOString(), ...entry })}\n`
      const written = last.then(() => write(line))
      // The next line is tried whether or not this one could be written.
      last = written.catch(() => undefined)
      return written
    },
    hash: (bytes) => createHmac('sha256', key).update(bytes).digest('hex').slice(0, hashDigits),
  }
}

async function openKey(file: string): Promise<Buffer> {
  await writeFile(file, randomBytes(32), { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  return readFile(file)
}
