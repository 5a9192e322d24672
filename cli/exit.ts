import { JournalError } from '../services/evaluation/journal.ts'
import { SubjectFolderError } from '../services/evaluation/subject-folders.ts'
import { InvalidInput } from '../services/generation/request.ts'
import { BundleError, NotInBundle } from '../services/lib/bundles/errors.ts'
import { ImageError } from '../services/lib/images/image.ts'
import { ConfigError } from '../services/lib/mesh/config.ts'
import { NetworkError } from '../services/lib/runtime/errors.ts'
import { ProviderError } from '../services/lib/runtime/providers.ts'
import { TextError } from '../services/lib/tokenizers/text.ts'
import { CheckpointError } from '../services/lib/weights/tensor-entry.ts'
import { exitCodes } from './codes.ts'
import { InputFileError } from './input-file-error.ts'
import { RefusedByPolicy } from './refused-by-policy.ts'
import { MemberFailed } from './start/supervisor.ts'

/** The exit code of an error, and what a person is told: one sentence. Faults of ours come with their stack if `debug`. */
export function describeError(error: unknown, debug: boolean): { code: number; message: string } {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof MemberFailed) return { code: error.exitCode, message }
  const isBundle = error instanceof BundleError || error instanceof CheckpointError
  if (isBundle || (error instanceof NetworkError && error.unbuilt)) return { code: exitCodes.bundle, message }
  if (error instanceof RefusedByPolicy) return { code: exitCodes.refused, message }
  const inputErrors = [
    InputFileError,
    NotInBundle,
    InvalidInput,
    ImageError,
    TextError,
    ProviderError,
    ConfigError,
    SubjectFolderError,
    JournalError,
  ]
  const isInput = inputErrors.some((kind) => error instanceof kind)
  if (isInput) return { code: exitCodes.input, message }
  const stack = debug && error instanceof Error && error.stack ? `\n${error.stack}` : ''
  return { code: exitCodes.fault, message: `${message}${stack}` }
}
