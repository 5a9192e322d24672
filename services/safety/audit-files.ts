import { randomUUID } from 'node:crypto'
import { appendFileSync, closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

// The files of an audit log's folder, which several processes may use at once.

const isLog = /^audit\b.*\.jsonl$/
const isAside = /\.\d{8}T\d{9}Z-[0-9a-f]{8}\.jsonl$/

/** What a file counts for at least: many short ones take room too. */
const blockBytes = 4096

/** Writes a line at the end, in a line of its own whatever stands there. Throws what the disk throws. */
export function appendLine(file: string, line: string): void {
  const handle = openSync(file, 'a+', 0o600)
  try {
    // A crash or a full disk leaves part of a line, which would take this one with it.
    appendFileSync(handle, endsInLine(handle) ? line : `\n${line}`)
  } finally {
    closeSync(handle)
  }
}

function endsInLine(handle: number): boolean {
  const { size } = fstatSync(handle)
  const last = Buffer.alloc(1)
  return size === 0 || (readSync(handle, last, 0, 1, size - 1) === 1 && last[0] === 0x0a)
}

/** Gives a file that is being written another name, one that nobody else has. */
export async function setAside(folder: string, name: string): Promise<void> {
  const time = new Date().toISOString().replace(/[-:.]/g, '')
  const aside = name.replace(/jsonl$/, `${time}-${randomUUID().slice(0, 8)}.jsonl`)
  await rename(join(folder, name), join(folder, aside)).catch(unlessMissing)
}

/** Of all processes' files those that were written last may stay, `maxBytes` of them. */
export async function leaveNewest(folder: string, maxBytes: number): Promise<void> {
  const names = (await readdir(folder)).filter((name) => isLog.test(name))
  const found = await Promise.all(
    names.map(async (name) => {
      const file = await stat(join(folder, name)).catch(unlessMissing)
      return file ? [{ name, bytes: Math.max(file.size, blockBytes), mtimeMs: file.mtimeMs }] : []
    }),
  )
  let bytes = 0
  for (const file of found.flat().sort((a, b) => b.mtimeMs - a.mtimeMs || (a.name < b.name ? 1 : -1))) {
    bytes += file.bytes
    if (bytes <= maxBytes) continue
    // Another process may be writing to it at this moment: it is removed the next time, if it is among the oldest then.
    if (isAside.test(file.name)) await rm(join(folder, file.name), { force: true })
    else await setAside(folder, file.name)
  }
}

function unlessMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error
}
