import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { systemCode } from '../../lib/bundles/errors.ts'
import { ConfigError } from '../../lib/mesh/config.ts'

/** Folders of this very process: its id says nothing about them. */
const claimed = new Set<string>()

/** Keeps other processes out of a folder until it is disposed; one left by a process that died is taken over. */
export async function claimFolder(folder: string): Promise<AsyncDisposable> {
  const file = join(folder, 'process')
  const claim = () => writeFile(file, `${process.pid}\n`, { flag: 'wx' })
  await claim().catch(async (error: unknown) => {
    if (systemCode(error) !== 'EEXIST') throw error
    const holder = Number(await readFile(file, 'utf8').catch(() => ''))
    const isHeld = holder === process.pid ? claimed.has(file) : holder > 0 && isAlive(holder)
    if (isHeld) throw new ConfigError(`${folder} is in use by process ${holder}; end it first, or set DATABASE_URL.`)
    await rm(file, { force: true })
    await claim()
  })
  claimed.add(file)
  return {
    async [Symbol.asyncDispose]() {
      claimed.delete(file)
      await rm(file, { force: true })
    },
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}
