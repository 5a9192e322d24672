import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MeshHttpClient } from '../client.ts'
import { createGeneration, createSubject, type Generation, getGeneration, hasEnded } from '../operations.ts'

/** A generation that the mesh has accepted. */
export interface Accepted {
  readonly id: string
  readonly key: string
  readonly seed: number
}

/** What a client does that never gives up, and what it went through. */
export interface Work {
  /** Made again with the same key until it is there. */
  subject(key: string): Promise<string>
  generation(subjectId: string, key: string, seed: number): Promise<Accepted>
  /** Watches it over WebSocket, taking up again where the connection was lost, until it has ended. */
  untilEnded(id: string): Promise<void>
  get(id: string): Promise<Generation | null>
  /** SHA-256 of each of its pictures. */
  pictures(generation: Generation): Promise<string[]>
  /** Ids of all generations that there are. */
  list(): Promise<string[]>
  /** Requests that failed and were made again. */
  readonly retries: number
}

const steps = 10
const retryMs = 250

export function createWork(client: MeshHttpClient, signal: AbortSignal): Work {
  let retries = 0
  const persist = async <T>(request: () => Promise<T>): Promise<T> => {
    for (;;) {
      signal.throwIfAborted()
      try {
        return await request()
      } catch {
        retries++
        await sleep(retryMs)
      }
    }
  }
  return {
    subject: (key) => persist(() => createSubject(client, key)),
    generation: (subjectId, key, seed) =>
      persist(async () => ({
        id: await createGeneration(client, { subjectId, seed, steps, idempotencyKey: key }),
        key,
        seed,
      })),
    async untilEnded(id) {
      let after: string | undefined
      let status = ''
      await persist(async () => {
        for await (const snapshot of client.watch(id, 'ws', after)) ({ cursor: after, status } = snapshot)
        if (!hasEnded(status)) throw new Error(`the events of ${id} ended with ${status}`)
      })
    },
    get: (id) => persist(() => getGeneration(client, id)),
    pictures: ({ images }) =>
      Promise.all(
        images.map(({ url }) =>
          persist(async () =>
            createHash('sha256')
              .update(await client.bytes(url))
              .digest('hex'),
          ),
        ),
      ),
    async list() {
      const ids: string[] = []
      for (let after: string | null = null; ; ) {
        const { generations }: GenerationsPage = await persist(() =>
          client.ask<GenerationsPage>(
            `query ($after: String) {
              generations(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } }
            }`,
            { after },
          ),
        )
        ids.push(...generations.nodes.map(({ id }) => id))
        if (!generations.pageInfo.hasNextPage) return ids
        after = generations.pageInfo.endCursor
      }
    },
    get retries() {
      return retries
    },
  }
}

interface GenerationsPage {
  readonly generations: {
    readonly nodes: readonly { readonly id: string }[]
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string | null }
  }
}
