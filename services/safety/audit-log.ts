import { createHmac } from 'node:crypto'
import { statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { appendLine, leaveNewest, setAside } from './audit-files.ts'
import { openAuditKey } from './audit-key.ts'

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
  /** How many such files all processes' files together may be, the one being written included; older ones are removed. */
  readonly maxFiles?: number
}

const keyName = 'audit.key'
const hashDigits = 32

/**
 * Opens the append-only log in `folder`, which is made where it is missing: JSON lines, the key of their hashes, and a
 * file for each process, `audit-HOST-PID.jsonl`, with a time behind that once it is full. Several processes may share a
 * folder, with its key and its bound; each adds at most the file that it is writing. Throws a ConfigError where the key is
 * none.
 */
export async function openAuditLog(
  folder: string,
  { maxFileBytes = 16 * 2 ** 20, maxFiles = 8 }: AuditLogOptions = {},
): Promise<AuditLog> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const key = await openAuditKey(join(folder, keyName))
  const name = `audit-${hostname().replace(/[^\w.-]/g, '_')}-${process.pid}.jsonl`
  const current = join(folder, name)
  const maxOlderBytes = (maxFiles - 1) * maxFileBytes
  await leaveNewest(folder, maxOlderBytes)
  let last: Promise<void> = Promise.resolve()

  const write = async (line: string) => {
    const size = statSync(current, { throwIfNoEntry: false })?.size ?? 0
    if (size > 0 && size + Buffer.byteLength(line) > maxFileBytes) {
      await setAside(folder, name)
      await leaveNewest(folder, maxOlderBytes)
    }
    // Less than what another thread would take to open, write and close it, with a verdict waiting.
    appendLine(current, line)
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
