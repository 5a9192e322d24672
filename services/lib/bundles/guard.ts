import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BundleError, systemCode } from './errors.ts'

export const guardName = '.pulling'

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}

/**
 * Runs `work` while a file in `folder` keeps other pulls out: two of them would write into the same `.part` files.
 * Throws `busy` where a process that still lives holds it; one left by a process that died is taken over.
 */
export async function alone<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const file = join(folder, guardName)
  await mkdir(folder, { recursive: true })
  const claim = () => writeFile(file, `${process.pid}\n`, { flag: 'wx' })
  await claim().catch(async (error: unknown) => {
    if (systemCode(error) !== 'EEXIST') throw error
    const holder = Number(await readFile(file, 'utf8').catch(() => ''))
    if (Number.isSafeInteger(holder) && holder > 0 && alive(holder)) {
      throw new BundleError(
        'busy',
        `Process ${holder} is pulling into ${folder} already; wait for it, or remove ${file}.`,
      )
    }
    await rm(file, { force: true })
    await claim()
  })
  try {
    return await work()
  } finally {
    await rm(file, { force: true })
  }
}
