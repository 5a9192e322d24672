import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { studioFolder } from '../../gateway/http/studio.ts'

/** Builds the studio where it is not there yet; why it could not be, or null. The mesh works without it. */
export async function buildMissingStudio(): Promise<string | null> {
  if (existsSync(join(studioFolder, 'index.html'))) return null
  const program = join(studioFolder, '../build.ts')
  if (!existsSync(program)) return 'the studio is not there'
  try {
    await promisify(execFile)(process.execPath, [program, '--if-possible'], { timeout: 60_000 })
    return null
  } catch (error) {
    return `the studio could not be built: ${error instanceof Error ? error.message.split('\n')[0] : error}`
  }
}
