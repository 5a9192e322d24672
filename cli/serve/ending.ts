import { endBy } from '../interrupt.ts'

/** How a process is told to end: once in good order, a second time at once. */
export interface Ending {
  /** Settles at the first signal, or when the parent that started this process has gone. */
  readonly asked: Promise<void>
}

/** Once a process has let go of everything it ends by itself; this long after it is ended. */
const lingerMs = 1000

/** Listens for SIGINT, SIGTERM and the end of a parent that opened a channel to this process (`child_process` with `ipc`). */
export function listenForEnd(): Ending {
  const asked = Promise.withResolvers<void>()
  let signals = 0
  const onSignal = (signal: 'SIGINT' | 'SIGTERM') => {
    signals++
    asked.resolve()
    if (signals > 1) endBy(signal)
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  if (process.channel) process.once('disconnect', () => asked.resolve())
  return { asked: asked.promise }
}

/** Ends the process although something may still hold it; what it ends with may still be changed. */
export function leave(code: number): void {
  process.exitCode = code
  setTimeout(() => process.exit(), lingerMs).unref()
  // The channel to the parent would hold it too.
  if (process.connected) process.disconnect()
}
