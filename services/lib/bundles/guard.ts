import { join } from 'node:path'
import { LockHeld, takeLock } from '../process-lock/lock.ts'
import { BundleError } from './errors.ts'

export const guardName = '.pulling'

/**
 * Runs `work` while a file in `folder` keeps other pulls out: two of them would write into the same `.part` files.
 * Throws `busy` where a process that still lives holds it; one left by a process that died is taken over. `work` ends by
 * its signal, and `busy` is thrown, where the guard has become another process's, as while this one's machine slept.
 */
export async function alone<T>(folder: string, work: (lost: AbortSignal) => Promise<T>): Promise<T> {
  const lost = new AbortController()
  const busy = (who: string, cause: unknown) =>
    new BundleError('busy', `${who} is pulling into ${folder} already; wait for it, or end it.`, { cause })
  const taking = takeLock(join(folder, guardName), { onLost: () => lost.abort() })
  await using _guard = await taking.catch((error: unknown) => {
    if (error instanceof LockHeld) throw busy(error.who.replace('process', 'Process'), error)
    throw error
  })
  try {
    return await work(lost.signal)
  } catch (error) {
    throw lost.signal.aborted ? busy('Another process', error) : error
  }
}
