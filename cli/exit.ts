import { JournalError } from '../services/evaluation/journal.ts'
import { SubjectFolderError } from '../services/evaluation/subject-folders.ts'
import { InvalidInput } from '../services/generation/request.ts'
import { BundleError, NotInBundle } from '../services/lib/bundles/errors.ts'
import { ImageError } from '../services/lib/images/image.ts'
import { TextError } from '../services/lib/tokenizers/text.ts'
import { CheckpointError } from '../services/lib/weights/tensor-entry.ts'

/** Exit codes, for scripts. */
export const exitCodes = {
  done: 0,
  /** A fault of ours. */
  fault: 1,
  /** A wrong option, value or input file. */
  input: 2,
  /** A bundle that is missing, incomplete or damaged, or could not be fetched. */
  bundle: 3,
  /** Ctrl-C. */
  interrupted: 130,
} as const

/** The exit code of an error, and what a person is told: one sentence. Faults of ours come with their stack if `debug`. */
export function describeError(error: unknown, debug: boolean): { code: number; message: string } {
  if (error instanceof Error && error.name === 'AbortError')
    return { code: exitCodes.interrupted, message: 'interrupted' }
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof BundleError || error instanceof CheckpointError) return { code: exitCodes.bundle, message }
  const inputErrors = [
    InputFileError,
    NotInBundle,
    InvalidInput,
    ImageError,
    TextError,
    SubjectFolderError,
    JournalError,
  ]
  const isInput = inputErrors.some((kind) => error instanceof kind)
  if (isInput) return { code: exitCodes.input, message }
  const stack = debug && error instanceof Error && error.stack ? `\n${error.stack}` : ''
  return { code: exitCodes.fault, message: `${message}${stack}` }
}

/** A file named on the command line that can't be read or written. */
export class InputFileError extends Error {
  override readonly name = 'InputFileError'
}
