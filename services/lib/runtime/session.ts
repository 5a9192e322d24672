import { parse } from 'node:path'
import type { InferenceSession } from 'onnxruntime-node'
import type { ExecutionOptions } from './recipe.ts'

/** Weights are found relative to this folder, and only below it: the root covers every checkpoint. */
export const weightsRoot = parse(process.cwd()).root

type SessionOptions = InferenceSession.SessionOptions

/** How a built graph is loaded, encoded for `weightsRoot`. */
export function sessionOptions(execution: ExecutionOptions): SessionOptions {
  return withConfig(fileOptions(execution), { model_external_initializers_file_folder_path: weightsRoot })
}

/** How a file is loaded; weights that are kept outside of it are looked for beside it. */
export function fileOptions({ provider, threads }: ExecutionOptions): SessionOptions {
  return {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    // A memory plan is made for the sizes of one run and takes a block of its own beside what that run had taken.
    enableMemPattern: false,
    logSeverityLevel: 3,
    // Every session has threads of its own. Left to themselves they look for work for a tenth of a second after each
    // use, while other sessions want the processor; this is long enough to be there for a run's next operation.
    extra: { session: { intra_op: { spin_duration_us: '100' } } },
  }
}

/** How a file in the runtime's own format is loaded: it is optimised, and its weights are used where they lie in it. */
export function keptOptions(execution: ExecutionOptions): SessionOptions {
  return {
    ...withConfig(fileOptions(execution), {
      use_memory_mapped_ort_model: '1',
      use_ort_model_bytes_for_initializers: '1',
    }),
    graphOptimizationLevel: 'disabled',
  }
}

function withConfig(options: SessionOptions, more: Readonly<Record<string, string>>): SessionOptions {
  return { ...options, extra: { session: { ...(options.extra?.session as object), ...more } } }
}
