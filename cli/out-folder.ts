import { access, constants, mkdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { systemCode } from '../services/lib/bundles/errors.ts'
import { InputFileError } from './input-file-error.ts'

/**
 * The absolute path of `--out`'s folder, in which files can be written; one that was not there is not there afterwards
 * either. Throws an InputFileError.
 */
export async function checkOutFolder(path: string): Promise<string> {
  if (path.trim() === '') throw new InputFileError(`--out is ${JSON.stringify(path)}, allowed is the path of a folder`)
  const folder = resolve(path)
  const made: string[] = []
  try {
    await makeFolder(folder, made)
    await access(folder, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw unwritable(path, error)
  } finally {
    for (const one of made.reverse()) await rmdir(one).catch(() => undefined)
  }
  return folder
}

/**
 * Writes a file into a folder, which is made if need be, under a temporary name first: nobody ever finds half of one.
 * Returns its path; throws an InputFileError.
 */
export async function writeInto(folder: string, name: string, bytes: Uint8Array): Promise<string> {
  const path = join(folder, name)
  const partial = `${path}.${process.pid}.part`
  try {
    await makeFolder(folder, [])
    await writeFile(partial, bytes)
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true }).catch(() => undefined)
    throw unwritable(folder, error)
  }
  return path
}

/**
 * Makes a folder and those around it, the outermost first, and adds to `made` what it made. mkdir's `recursive` never
 * returns where a file system makes no folders, as /proc.
 */
async function makeFolder(folder: string, made: string[]): Promise<void> {
  const found = await stat(folder).catch(() => null)
  if (found?.isDirectory()) return
  if (found) throw new Error(`${folder} is no folder`)
  await makeFolder(dirname(folder), made)
  try {
    await mkdir(folder)
    made.push(folder)
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error
  }
}

function unwritable(path: string, error: unknown): InputFileError {
  return new InputFileError(`--out ${path} can't be written: ${error instanceof Error ? error.message : error}`)
}
