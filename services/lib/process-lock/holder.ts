import { open, readFile, readlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { z } from 'zod'

// Who holds a lock, and whether that one lives.

/** A process that holds a lock, and what it says of itself. */
const holderShape = z.object({
  pid: z.number().int().positive(),
  /** Tells the process from a later one with the same id; null where the system does not say. */
  startedAt: z.string().nullable(),
  /** `host:port` of what it serves, by name. */
  addresses: z.record(z.string(), z.string()),
  /** Where its id counts: a container has ids of its own. Null where the system knows none, and in older locks. */
  namespace: z.string().nullable().default(null),
  /** Null in older locks, which are taken for this machine's. */
  host: z.string().nullable().default(null),
})
export type Holder = Readonly<z.infer<typeof holderShape>>

/** A holder touches its lock as a sign of life, for those that can't ask the system about it. */
export interface Pace {
  readonly touchMs: number
  /** Without a sign of life for so long, it is dead. */
  readonly quietMs: number
}

export const usualPace: Pace = { touchMs: 3000, quietMs: 30_000 }

/** A lock at one moment. */
export interface Seen {
  readonly text: string
  /** Null where the text is none of a lock. */
  readonly holder: Holder | null
  /** Its latest sign of life. */
  readonly mtimeMs: number
}

/** Null where there is none. */
export async function look(file: string): Promise<Seen | null> {
  try {
    await using handle = await open(file)
    const { mtimeMs } = await handle.stat()
    const text = await handle.readFile('utf8')
    return { text, holder: parseHolder(text), mtimeMs }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return null
  }
}

function parseHolder(text: string): Holder | null {
  try {
    return holderShape.parse(JSON.parse(text))
  } catch {
    return null
  }
}

/** Whichever clock is wrong, and by how much: a time to come says as little as one that is long gone. */
export const isOld = ({ mtimeMs }: Seen, { quietMs }: Pace) => Math.abs(Date.now() - mtimeMs) > quietMs

/**
 * Whether a lock's holder lives, from one look to the next; null: not clear yet. What can't be asked of the system is seen
 * by the signs of life, and by this process's own clock: that of another machine may be wrong, and after a sleep all signs
 * are old, so an old one has to stay for a while before it counts.
 */
export function createWatch(pace: Pace): (seen: Seen) => Promise<boolean | null> {
  let last: Seen | null = null
  let since = 0
  let moved = false
  return async (seen) => {
    const { holder, text, mtimeMs } = seen
    if (!holder) return false
    if (await isHere(holder)) return isRunning(holder)
    const now = performance.now()
    const isSame = last?.text === text
    if (!isSame || last?.mtimeMs !== mtimeMs) {
      moved = isSame
      since = now
    }
    last = seen
    if (now - since >= (isOld(seen, pace) ? 2 * pace.touchMs : pace.quietMs)) return false
    return moved || null
  }
}

/** Whether a holder's process id is one of those that this process sees. */
export async function isHere(holder: Holder): Promise<boolean> {
  if (holder.host === null) return true
  const { host, namespace } = await ownPlace()
  return holder.host === host && holder.namespace === namespace
}

/** Of a holder that is here. */
export async function isRunning({ pid, startedAt }: Holder): Promise<boolean> {
  if (!hasProcess(pid)) return false
  const started = await startOf(pid)
  return startedAt === null || started === null || started === startedAt
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

/** Linux says which process ids a process sees; two boots, and so two machines, may use the same name for them. */
export async function ownPlace(): Promise<Pick<Holder, 'namespace' | 'host'>> {
  const ids = await readlink('/proc/self/ns/pid').catch(() => null)
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')
  return { namespace: ids && `${ids} ${boot.trim()}`.trim(), host: hostname() }
}

/** When a process started, in the system's own words (Linux: proc_pid_stat(5), field 22); null elsewhere. */
export async function startOf(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  // The second field is the program's name in brackets, and may hold anything.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
}
