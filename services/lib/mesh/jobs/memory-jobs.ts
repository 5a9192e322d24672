import { MeshError } from '../errors.ts'
import { checkJobId, defaultJobsOptions, type Job, type Jobs, type JobsOptions } from './jobs.ts'

interface Entry {
  readonly id: string
  deliveries: number
  /** Ends the hand-out when no sign of life comes, or the wait before the next one. */
  timer: NodeJS.Timeout | undefined
}

/** Jobs that wait; a database's sweep adds again what finds no room. */
const maxWaiting = 100_000

/** `Jobs` inside one process. */
export function createMemoryJobs(options: Partial<JobsOptions> = {}): Jobs {
  const { ackWaitMs, maxDeliveries, maxPending } = { ...defaultJobsOptions, ...options }
  /** All that are known: waiting, handed out, or to be handed out later. */
  const entries = new Map<string, Entry>()
  const ready: Entry[] = []
  const takers = new Set<() => void>()
  let pending = 0
  let disposed = false

  const offer = (entry: Entry) => {
    ready.push(entry)
    wake()
  }
  const wake = () => {
    if (ready.length > 0 && pending < maxPending) takers.values().next().value?.()
  }

  const handOut = (entry: Entry): Job => {
    pending++
    const delivery = ++entry.deliveries
    let held = true
    /** Whether it still was this hand-out's to say. */
    const release = (): boolean => {
      if (!held) return false
      held = false
      pending--
      clearTimeout(entry.timer)
      return true
    }
    const startClock = () => {
      clearTimeout(entry.timer)
      entry.timer = setTimeout(() => {
        release()
        if (delivery >= maxDeliveries) forget(entry)
        else offer(entry)
      }, ackWaitMs)
      entry.timer.unref()
    }
    startClock()
    return {
      id: entry.id,
      delivery,
      working: () => {
        if (held) startClock()
      },
      done: async () => {
        if (release()) forget(entry)
      },
      again: async (delayMs) => {
        if (!release()) return
        if (delivery >= maxDeliveries) return forget(entry)
        entry.timer = setTimeout(() => offer(entry), delayMs)
        entry.timer.unref()
        wake()
      },
    }
  }
  const forget = (entry: Entry) => {
    entries.delete(entry.id)
    wake()
  }

  return {
    async add(id) {
      checkJobId(id)
      if (disposed) throw new MeshError('UNAVAILABLE', 'the jobs were closed')
      if (entries.has(id)) return
      if (entries.size >= maxWaiting) throw new MeshError('UNAVAILABLE', `more than ${maxWaiting} jobs wait already`)
      const entry = { id, deliveries: 0, timer: undefined }
      entries.set(id, entry)
      offer(entry)
    },
    async next(signal) {
      for (;;) {
        if (signal.aborted || disposed) {
          // It may have been woken for a job that is another's then.
          wake()
          return null
        }
        if (ready.length > 0 && pending < maxPending) return handOut(ready.shift()!)
        await new Promise<void>((resolve) => {
          const go = () => {
            takers.delete(go)
            signal.removeEventListener('abort', go)
            resolve()
          }
          takers.add(go)
          signal.addEventListener('abort', go, { once: true })
        })
      }
    },
    async [Symbol.asyncDispose]() {
      disposed = true
      for (const { timer } of entries.values()) clearTimeout(timer)
      for (const take of takers) take()
    },
  }
}
