import DataLoader from 'dataloader'
import type { GenerationClient } from '../services/generation/client.ts'
import type { ProgressFeed } from '../services/generation/graphql/progress-feed.ts'
import type { GenerationContext } from '../services/generation/subgraph.ts'

/** What all operations share. */
export interface ContextGround {
  readonly generation: GenerationClient
  readonly progress: ProgressFeed
  /** What the addresses of assets and uploads begin with, without a slash at its end. */
  publicUrl(): string
}

/** Most ids that the service takes at once. */
const largestBatch = 100

/** Of one operation or one event: what it has loaded is not asked for again, and nothing of it outlives it. */
export function createContext(
  { generation, progress, publicUrl }: ContextGround,
  tenant: string,
  signal: AbortSignal,
): GenerationContext {
  return {
    tenant,
    generation,
    progress,
    signal,
    subjects: loader(async (ids) => (await generation.getSubjects({ tenant, ids }, signal)).subjects),
    generations: loader(async (ids) => (await generation.getGenerations({ tenant, ids }, signal)).generations),
    assetUrl: (token) => `${publicUrl()}/assets/${encodeURIComponent(token)}`,
    uploadUrl: (token) => `${publicUrl()}/uploads/${encodeURIComponent(token)}`,
  }
}

function loader<T extends { readonly id: string }>(get: (ids: string[]) => Promise<readonly T[]>) {
  return new DataLoader<string, T | null>(
    async (ids) => {
      const found = new Map((await get([...ids])).map((item) => [item.id, item]))
      return ids.map((id) => found.get(id) ?? null)
    },
    { maxBatchSize: largestBatch },
  )
}
