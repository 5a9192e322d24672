/**
 * How to make a network, as plain data that a worker thread can be sent: the module and the exported function that
 * builds its graph, and that function's arguments (paths and configs). The graph is emitted in the thread that runs it.
 */
export interface Recipe {
  /** What messages and timings call it. */
  readonly name: string
  /** URL of the module (`import.meta.url`). */
  readonly module: string
  readonly builder: string
  /** Structured-cloneable. */
  readonly args: readonly unknown[]
}

/** Equal recipes make equal networks. */
export function recipeKey(recipe: Recipe): string {
  return JSON.stringify([recipe.module, recipe.builder, recipe.args])
}

export interface ExecutionOptions {
  readonly provider: ExecutionProvider
  /** Threads of one network's arithmetic, 1 … 256. */
  readonly threads: number
  /**
   * Absolute path of a folder of this program's own, in which small networks are kept as the runtime had optimised them,
   * at most 64 files and 384 MiB: the next process need not build them. Not given, none are.
   */
  readonly keptIn?: string | undefined
}

/** `cuda` takes the first device that CUDA_VISIBLE_DEVICES shows; whatever a provider has no kernel for, the CPU computes. */
export const executionProviders = ['cpu', 'cuda', 'webgpu'] as const
export type ExecutionProvider = (typeof executionProviders)[number]

export function isExecutionProvider(name: unknown): name is ExecutionProvider {
  return executionProviders.some((provider) => provider === name)
}
