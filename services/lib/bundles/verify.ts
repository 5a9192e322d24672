import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bundle } from './bundles.ts'
import { hashFile, startHash } from './digest.ts'
import { BundleError } from './errors.ts'
import { readLock } from './lock.ts'

export interface Problem {
  /** Relative to the bundle's folder. */
  readonly file: string
  readonly kind: 'missing' | 'wrong size' | 'wrong checksum'
  /** What is wrong, with the value found and the value it should be. */
  readonly detail: string
}

export interface VerifyProgress {
  readonly file: string
  /** Bytes read of all files together. */
  readonly bytes: number
  readonly totalBytes: number
  readonly filesDone: number
  readonly files: number
}

export interface VerifyOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: VerifyProgress) => void
}

/**
 * Reads every file of a bundle and compares size and checksum with the lock; every problem is reported, not only the first.
 * Throws `BundleError` where there is no lock, and with the fault `aborted` when the signal is.
 */
export async function verifyBundle(bundle: Bundle, options: VerifyOptions = {}): Promise<Problem[]> {
  const { signal, onProgress } = options
  const lock = await readLock(bundle.folder)
  if (lock === undefined) {
    throw new BundleError(
      'notPulled',
      `${bundle.folder} has no bundle.lock.json to check against; pull the bundle first.`,
    )
  }
  const problems: Problem[] = []
  const totalBytes = lock.files.reduce((sum, file) => sum + file.sizeBytes, 0)
  let bytesBefore = 0
  for (const [filesDone, expected] of lock.files.entries()) {
    const path = join(bundle.folder, expected.path)
    const report = (kind: Problem['kind'], detail: string) => problems.push({ file: expected.path, kind, detail })
    const progress = (bytes: number, done: number) =>
      onProgress?.({
        file: expected.path,
        bytes: bytesBefore + bytes,
        totalBytes,
        filesDone: done,
        files: lock.files.length,
      })
    const found = await stat(path).catch(() => undefined)
    progress(0, filesDone)
    if (!found?.isFile()) {
      report('missing', `${expected.path} is missing.`)
    } else if (found.size !== expected.sizeBytes) {
      report('wrong size', `${expected.path} has ${found.size} bytes; it should have ${expected.sizeBytes}.`)
    } else {
      const hash = startHash(expected.digest.algorithm, found.size)
      let bytes = 0
      const onBytes = (length: number) => {
        bytes += length
        progress(bytes, filesDone)
      }
      await hashFile(path, hash, onBytes, signal).catch((error: unknown) => {
        if (signal?.aborted) throw new BundleError('aborted', 'The check was stopped.', { cause: error })
        throw new BundleError('disk', `${path} cannot be read.`, { cause: error })
      })
      const hex = hash.digest('hex')
      if (hex !== expected.digest.hex) {
        report(
          'wrong checksum',
          `${expected.path} has the ${expected.digest.algorithm} ${hex}; it should have ${expected.digest.hex}.`,
        )
      }
    }
    bytesBefore += expected.sizeBytes
    progress(0, filesDone + 1)
  }
  return problems
}
