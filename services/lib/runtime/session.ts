import { parse } from 'node:path'
import type { InferenceSession } from 'onnxruntime-node'
import type { ExecutionOptions } from './recipe.ts'

/** Weights are found relative to this folder, and only below it: the root covers every checkpoint. */
export const weightsRoot = parse(process.cwd()).root

/** How every network is loaded; its graph is encoded for `weightsRoot`. */
export function sessionOptions({ provider, threads }: ExecutionOptions): InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    // A memory plan is made for the sizes of one run and takes a block of its own beside what that run had taken.
    enableMemPattern: false,
    logSeverityLevel: 3,
    // Every session has threads of its own, which would take the processor from the other sessions for a tenth of a
    // second after each use, only to be there at once for the next.
    extra: { session: { intra_op: { allow_spinning: '0' }, model_external_initializers_file_folder_path: weightsRoot } },
  }
}
