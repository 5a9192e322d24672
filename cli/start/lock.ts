import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'

/** A process that holds a lock, and what it says of itself. */
const holderShape = z.object({
  pid: z.number().int().positive(),
  /** Tells the process from a later one with the same id; null where the system does not say. */
  startedAt: z.string().nullable(),
  /** `host:port` of what it serves, by name. */
  addresses: z.record(z.string(), z.string()),
})
export type Holder = Readonly<z.infer<typeof holderShape>>

/** A file that one process at a time holds. */
export interface Lock extends AsyncDisposable {
  /** Says where the holder serves, for others that read the lock. */
  tell(addresses: Holder['addresses']): Promise<void>
}

/** The lock belongs to a process that lives. */
export class LockHeld extends Error {
  override readonly name = 'LockHeld'
  readonly holder: Holder

  constructor(file: string, holder: Holder) {
    super(`process ${holder.pid} holds ${file}`)
    this.holder = holder
  }
}

const retryMs = 50

/**
 * Takes the lock, also from a process that died with it; waits for at most `waitMs` while another one holds it. Throws
 * LockHeld after that.
 */
export async function takeLock(file: string, waitMs = 0): Promise<Lock> {
  await mkdir(dirname(file), { recursive: true })
  const startedAt = await startOf(process.pid)
  const write = async (path: string, addresses: Holder['addresses']) => {
    const holder: Holder = { pid: process.pid, startedAt, addresses }
    await writeFile(path, `${JSON.stringify(holder)}\n`)
  }
  const own = `${file}.${process.pid}`
  const until = performance.now() + waitMs
  try {
    for (;;) {
      await write(own, {})
      // Whole from the start: nobody ever reads half a lock.
      const taken = await link(own, file).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error
          return false
        },
      )
      if (taken) break
      const holder = await readHolder(file)
      if (!holder) await takeAway(file)
      else if (performance.now() >= until) throw new LockHeld(file, holder)
      else await sleep(retryMs)
    }
  } finally {
    await rm(own, { force: true })
  }
  return {
    async tell(addresses) {
      await write(own, addresses)
      await rename(own, file)
    },
    [Symbol.asyncDispose]: () => rm(file, { force: true }),
  }
}

/** Who holds a lock now; null where nobody who lives does. */
export async function readHolder(file: string): Promise<Holder | null> {
  const holder = await readFile(file, 'utf8').then(parseHolder, () => null)
  if (!holder || !isAlive(holder.pid)) return null
  const startedAt = await startOf(holder.pid)
  return holder.startedAt === null || startedAt === null || holder.startedAt === startedAt ? holder : null
}

function parseHolder(text: string): Holder | null {
  try {
    return holderShape.parse(JSON.parse(text))
  } catch {
    return null
  }
}

/** Takes a dead process's lock away; where somebody was faster and it is alive again by now, it is put back. */
async function takeAway(file: string): Promise<void> {
  const aside = `${file}.${process.pid}.dead`
  const moved = await rename(file, aside).then(
    () => true,
    () => false,
  )
  if (!moved) return
  if (await readHolder(aside)) await link(aside, file).catch(() => undefined)
  await rm(aside, { force: true })
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** When a process started, in the system's own words (Linux: proc_pid_stat(5), field 22); null elsewhere. */
async function startOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  // The second field is the program's name in brackets, and may hold anything.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
}
