import type { ExecutionOptions, Recipe } from './recipe.ts'
import type { HostTensor } from './tensor.ts'

/** What a thread is started with. */
export interface WorkerData {
  readonly execution: ExecutionOptions
}

/** What the main thread asks of a network there. */
export type Question =
  | { readonly kind: 'emit'; readonly recipe: Recipe }
  | { readonly kind: 'load' }
  | { readonly kind: 'run'; readonly feeds: Readonly<Record<string, HostTensor>> }
  /** `last`: the thread ends with it. */
  | { readonly kind: 'close'; readonly last: boolean }

/** One answer each. `seat` is the network's number in the thread. */
export type Order = Question & { readonly id: number; readonly seat: number }

export type Answer = { readonly id: number } & (
  | { readonly kind: 'emitted'; readonly weightBytes: number; readonly elapsedMs: number }
  | { readonly kind: 'done'; readonly elapsedMs: number }
  | { readonly kind: 'results'; readonly results: Readonly<Record<string, HostTensor>>; readonly elapsedMs: number }
  /** `broken`: the provider computed nothing else either, a moment later. */
  | { readonly kind: 'failed'; readonly message: string; readonly broken: boolean }
)
