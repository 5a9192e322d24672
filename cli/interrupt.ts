import type { NetworkPool } from '../services/lib/runtime/pool.ts'
import { exitCodes } from './codes.ts'

/** The signals that a person or a supervisor ends a command with. */
const signals = ['SIGINT', 'SIGTERM'] as const
type EndingSignal = (typeof signals)[number]

/** A command was told to end. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted'
  readonly signal: EndingSignal

  constructor(signal: EndingSignal) {
    super(signal === 'SIGINT' ? 'interrupted' : 'told to end')
    this.signal = signal
  }
}

/** Longest wait for a task to close its files once it was told to end. */
const unwindMs = 2000

/**
 * Runs `task`, whose signal is aborted by Ctrl-C or SIGTERM. What it rejects with from then on is an `Interrupted`, at
 * once when it has come to its end, or after two seconds at the latest; a second signal ends the process on the spot.
 * `clear` leaves the terminal as it was found.
 */
export async function interruptible<T>(task: (signal: AbortSignal) => Promise<T>, clear: () => void): Promise<T> {
  const interrupt = new AbortController()
  const { promise: overdue, reject: giveUp } = Promise.withResolvers<never>()
  overdue.catch(() => undefined)
  let timer: NodeJS.Timeout | undefined
  const onSignal = (signal: EndingSignal) => {
    clear()
    if (interrupt.signal.aborted) return endBy(signal)
    interrupt.abort(new Interrupted(signal))
    timer = setTimeout(() => giveUp(interrupt.signal.reason), unwindMs)
  }
  for (const signal of signals) process.on(signal, onSignal)
  try {
    return await Promise.race([task(interrupt.signal), overdue])
  } catch (error) {
    // What a network says when it is ended by Ctrl-C is no news.
    interrupt.signal.throwIfAborted()
    throw error
  } finally {
    clearTimeout(timer)
    clear()
    for (const signal of signals) process.off(signal, onSignal)
  }
}

/**
 * Lends a pool to `use` and disposes of it afterwards. An interrupt ends its networks in the middle of whatever they
 * compute and waits for none of them.
 */
export async function withPool<P extends NetworkPool, T>(
  pool: P,
  signal: AbortSignal,
  use: (pool: P) => Promise<T>,
): Promise<T> {
  const end = () => void pool.dispose()
  signal.addEventListener('abort', end, { once: true })
  try {
    signal.throwIfAborted()
    return await use(pool)
  } finally {
    signal.removeEventListener('abort', end)
    if (!signal.aborted) await pool.dispose()
  }
}

/**
 * Ends the process as the signal does to a program that does not handle it: shells say 130 or 143. `process.exit` would
 * wait for every thread that computes, and abort.
 */
export function endBy(signal: EndingSignal): void {
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  // Still here: the first process of a container is not ended by its own signals. It ends when its networks have.
  process.exitCode = signal === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated
}
