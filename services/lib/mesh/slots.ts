import { MeshError } from './errors.ts'

/** How many calls work at once, and how many may wait. */
export interface SlotOptions {
  /** 1 … 64. */
  readonly slots: number
  /** How many of one line work at once, 1 … `slots`; as many as there are slots if not said. */
  readonly perLine?: number
  /** Of each line; 0 … 10,000. */
  readonly queue: number
}

export interface Slots {
  /**
   * A place to work at; disposing gives it back. Those that wait stand in lines, which are served in turn, each in the
   * order of asking: neither a long one nor one that has all its places holds up another. Throws RESOURCE_EXHAUSTED when
   * too many wait in the line, and the signal's reason when it is aborted before the turn comes.
   */
  acquire(signal?: AbortSignal, line?: string): Promise<Disposable>
  readonly busy: number
  readonly waiting: number
}

export function createSlots(service: string, { slots, queue, perLine = slots }: SlotOptions): Slots {
  /** Those with anybody in them, the one whose turn it is first. */
  const lines = new Map<string, Set<() => void>>()
  /** Places that each line has; none of those without any. */
  const working = new Map<string, number>()
  let busy = 0

  const mayWork = (line: string) => busy < slots && (working.get(line) ?? 0) < perLine
  const count = (line: string, change: 1 | -1) => {
    busy += change
    const left = (working.get(line) ?? 0) + change
    if (left > 0) working.set(line, left)
    else working.delete(line)
  }
  const serveNext = () => {
    for (const [name, waiting] of lines) {
      if (!mayWork(name)) continue
      lines.delete(name)
      lines.set(name, waiting)
      const [go] = waiting
      return go!()
    }
  }
  const take = (line: string): Disposable => {
    count(line, 1)
    let held = true
    return {
      [Symbol.dispose]() {
        if (!held) return
        held = false
        count(line, -1)
        serveNext()
      },
    }
  }

  return {
    async acquire(signal, line = '') {
      signal?.throwIfAborted()
      if (mayWork(line)) return take(line)
      const waiting = lines.get(line) ?? new Set()
      if (waiting.size >= queue) {
        const running = working.get(line) ?? 0
        const counts = `${running} calls are running and ${waiting.size} wait, at most ${perLine} and ${queue} may`
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
        turn.resolve(take(line))
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
