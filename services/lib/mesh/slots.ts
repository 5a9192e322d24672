import { MeshError } from './errors.ts'

/** How many calls work at once, and how many may wait. */
export interface SlotOptions {
  /** 1 … 64. */
  readonly slots: number
  /** Of each line; 0 … 10,000. */
  readonly queue: number
}

export interface Slots {
  /**
   * A place to work at; disposing gives it back. Those that wait stand in lines, which are served in turn, each in the
   * order of asking: a long one does not hold up a short one. Throws RESOURCE_EXHAUSTED when too many wait in the line,
   * and the signal's reason when it is aborted before the turn comes.
   */
  acquire(signal?: AbortSignal, line?: string): Promise<Disposable>
  readonly busy: number
  readonly waiting: number
}

export function createSlots(service: string, { slots, queue }: SlotOptions): Slots {
  /** Those with anybody in them, the one whose turn it is first. */
  const lines = new Map<string, Set<() => void>>()
  let busy = 0

  const serveNext = () => {
    const [first] = lines
    if (!first) return
    const [name, waiting] = first
    lines.delete(name)
    lines.set(name, waiting)
    const [go] = waiting
    go!()
  }
  const take = (): Disposable => {
    busy++
    let held = true
    return {
      [Symbol.dispose]() {
        if (!held) return
        held = false
        busy--
        serveNext()
      },
    }
  }

  return {
    async acquire(signal, line = '') {
      signal?.throwIfAborted()
      if (busy < slots) return take()
      const waiting = lines.get(line) ?? new Set()
      if (waiting.size >= queue) {
        const counts = `${busy} calls are running and ${waiting.size} wait, at most ${slots} and ${queue} may`
        throw new MeshError('RESOURCE_EXHAUSTED', `${service} is full: ${counts}; try again later`)
      }
      const turn = Promise.withResolvers<Disposable>()
      const stepOut = () => {
        waiting.delete(go)
        if (waiting.size === 0) lines.delete(line)
      }
      const go = () => {
        stepOut()
        signal?.removeEventListener('abort', leave)
        turn.resolve(take())
      }
      const leave = () => {
        stepOut()
        turn.reject(signal!.reason)
      }
      lines.set(line, waiting.add(go))
      signal?.addEventListener('abort', leave, { once: true })
      return turn.promise
    },
    get busy() {
      return busy
    },
    get waiting() {
      return [...lines.values()].reduce((sum, { size }) => sum + size, 0)
    },
  }
}
