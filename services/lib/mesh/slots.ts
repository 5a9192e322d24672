import { MeshError } from './errors.ts'

/** How many calls work at once, and how many may wait. */
export interface SlotOptions {
  /** 1 … 64. */
  readonly slots: number
  /** 0 … 10,000. */
  readonly queue: number
}

export interface Slots {
  /**
   * A place to work at, in the order of asking; disposing gives it back. Throws RESOURCE_EXHAUSTED when too many wait,
   * and the signal's reason when it is aborted before the turn comes.
   */
  acquire(signal?: AbortSignal): Promise<Disposable>
  readonly busy: number
  readonly waiting: number
}

export function createSlots(service: string, { slots, queue }: SlotOptions): Slots {
  const waiting = new Set<() => void>()
  let busy = 0

  const take = (): Disposable => {
    busy++
    let held = true
    return {
      [Symbol.dispose]() {
        if (!held) return
        held = false
        busy--
        const [next] = waiting
        next?.()
      },
    }
  }

  return {
    async acquire(signal) {
      signal?.throwIfAborted()
      if (busy < slots) return take()
      if (waiting.size >= queue) {
        const counts = `${busy} calls are running and ${waiting.size} wait, at most ${slots} and ${queue} may`
        throw new MeshError('RESOURCE_EXHAUSTED', `${service} is full: ${counts}; try again later`)
      }
      const turn = Promise.withResolvers<Disposable>()
      const go = () => {
        waiting.delete(go)
        signal?.removeEventListener('abort', leave)
        turn.resolve(take())
      }
      const leave = () => {
        waiting.delete(go)
        turn.reject(signal!.reason)
      }
      waiting.add(go)
      signal?.addEventListener('abort', leave, { once: true })
      return turn.promise
    },
    get busy() {
      return busy
    },
    get waiting() {
      return waiting.size
    },
  }
}
