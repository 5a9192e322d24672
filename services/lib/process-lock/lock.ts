import { randomUUID } from 'node:crypto'
import { constants, copyFile, link, mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import {
  createWatch,
  type Holder,
  isHere,
  isOld,
  isRunning,
  look,
  ownPlace,
  type Pace,
  type Seen,
  startOf,
  usualPace,
} from './holder.ts'

/** A file that one process at a time holds. */
export interface Lock extends AsyncDisposable {
  /** Says where the holder serves, for others that read the lock. */
  tell(addresses: Holder['addresses']): Promise<void>
}

/** The lock belongs to a process that lives. */
export class LockHeld extends Error {
  override readonly name = 'LockHeld'
  readonly holder: Holder
  /** The holder in words: `process 7`, or `process 7 on host 4f2a` where its id means nothing here. */
  readonly who: string

  constructor(file: string, holder: Holder, knowsPid: boolean) {
    const who = knowsPid ? `process ${holder.pid}` : `process ${holder.pid} on host ${holder.host}`
    super(`${who} holds ${file}`)
    this.holder = holder
    this.who = who
  }
}

export interface LockOptions {
  /** How long one that is held is waited for. */
  readonly waitMs?: number
  /** Told when the lock is another process's, or gone: this one was silent for too long, as while its machine slept. */
  readonly onLost?: () => void
  readonly pace?: Pace
}

const retryMs = 50

/** Of file systems such as exFAT. */
const hasNoLinks = /^(EPERM|ENOTSUP|EOPNOTSUPP|ENOSYS)$/

/**
 * Takes the lock, also from a process that died with it; waits for at most `waitMs` while another one holds it. Throws
 * LockHeld after that. A holder in another container, or on another machine, is watched besides until it is clear that it
 * lives, or that it does not.
 */
export async function takeLock(file: string, options: LockOptions = {}): Promise<Lock> {
  const { waitMs = 0, onLost = () => undefined, pace = usualPace } = options
  await mkdir(dirname(file), { recursive: true })
  const self = { pid: process.pid, startedAt: await startOf(process.pid), ...(await ownPlace()) }
  const write = (path: string, addresses: Holder['addresses']) =>
    writeFile(path, `${JSON.stringify({ ...self, addresses } satisfies Holder)}\n`)
  // Another container has the same process ids.
  const own = `${file}.${process.pid}.${randomUUID().slice(0, 8)}`
  const isAlive = createWatch(pace)
  const until = performance.now() + waitMs
  try {
    for (;;) {
      await write(own, {})
      const taken = await place(own, file).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error
          return false
        },
      )
      if (taken) break
      const seen = await look(file)
      if (!seen) continue
      const alive = await isAlive(seen)
      if (alive === false) await takeAway(file, seen)
      else if (alive && performance.now() >= until) throw new LockHeld(file, seen.holder!, await isHere(seen.holder!))
      else await sleep(retryMs)
    }
  } finally {
    await rm(own, { force: true })
  }

  const isOwn = (seen: Seen | null) => {
    const { addresses: _, ...holder } = seen?.holder ?? { addresses: {} }
    return isDeepStrictEqual(holder, self)
  }
  let missing = 0
  const touch = async () => {
    const seen = await look(file).catch(() => undefined)
    // A disk that does not answer says nothing.
    if (seen === undefined) return
    if (isOwn(seen)) {
      missing = 0
      return utimes(file, new Date(), new Date()).catch(() => undefined)
    }
    // For a moment it may not be there, while somebody looks at it more closely.
    if (!seen && ++missing < 2) return
    clearInterval(touching)
    onLost()
  }
  const touching = setInterval(touch, pace.touchMs).unref()
  return {
    async tell(addresses) {
      await write(own, addresses)
      await rename(own, file)
    },
    async [Symbol.asyncDispose]() {
      clearInterval(touching)
      if (isOwn(await look(file).catch(() => null))) await rm(file, { force: true })
    },
  }
}

/** Throws EEXIST where the lock is there. */
async function place(own: string, file: string): Promise<void> {
  try {
    // Whole from the start: nobody ever reads half a lock.
    await link(own, file)
  } catch (error) {
    if (!hasNoLinks.test((error as NodeJS.ErrnoException).code ?? '')) throw error
    await copyFile(own, file, constants.COPYFILE_EXCL)
  }
}

/** Who holds a lock now; null where nobody who lives does. */
export async function readHolder(file: string): Promise<Holder | null> {
  const seen = await look(file).catch(() => null)
  if (!seen?.holder) return null
  const { holder } = seen
  const isLiving = (await isHere(holder)) ? await isRunning(holder) : !isOld(seen, usualPace)
  return isLiving ? holder : null
}

/** Takes a dead process's lock away; where it is another one's by now, or has shown a sign of life, it is put back. */
async function takeAway(file: string, dead: Seen): Promise<void> {
  const aside = `${file}.${process.pid}.${randomUUID().slice(0, 8)}.dead`
  const moved = await rename(file, aside).then(
    () => true,
    () => false,
  )
  if (!moved) return
  const seen = await look(aside)
  const isDead = seen?.text === dead.text && seen.mtimeMs === dead.mtimeMs
  if (!isDead) await link(aside, file).catch(() => undefined)
  await rm(aside, { force: true })
}
