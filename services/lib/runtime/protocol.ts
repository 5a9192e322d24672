import type { ExecutionOptions, Recipe } from './recipe.ts'
import type { HostTensor } from './tensor.ts'

/** What a network's thread is started with. */
export interface WorkerData {
  readonly recipe: Recipe
  readonly execution: ExecutionOptions
}

/** What the main thread asks of it; one answer each, in order. */
export type Order = { readonly id: number } & (
  | { readonly kind: 'emit' }
  | { readonly kind: 'load' }
  | { readonly kind: 'run'; readonly feeds: Readonly<Record<string, HostTensor>> }
  | { readonly kind: 'close' }
)

export type Answer = { readonly id: number } & (
  | { readonly kind: 'emitted'; readonly weightBytes: number; readonly elapsedMs: number }
  | { readonly kind: 'done'; readonly elapsedMs: number }
  | { readonly kind: 'results'; readonly results: Readonly<Record<string, HostTensor>>; readonly elapsedMs: number }
  | { readonly kind: 'failed'; readonly message: string }
)
