import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createContextServer } from '../../services/context/server.ts'
import { createDenoiseServer } from '../../services/denoise/server.ts'
import { createGenerationClient, type GenerationClient } from '../../services/generation/client.ts'
import { createTestDrawing, createTestServices } from '../../services/generation/runner/test-services.ts'
import { inPieces } from '../../services/generation/test-server.ts'
import { formatAddress } from '../../services/lib/mesh/address.ts'
import { createMeshServer } from '../../services/lib/mesh/grpc-server.ts'
import { createLocalCalls } from '../../services/lib/mesh/local-calls.ts'
import { silentLogger } from '../../services/lib/mesh/log.ts'
import { createMetrics } from '../../services/lib/mesh/metrics.ts'
import { alwaysReady } from '../../services/lib/mesh/readiness.ts'
import { createSlots } from '../../services/lib/mesh/slots.ts'
import type { Safety } from '../../services/safety/safety.ts'
import { createSafetyServer } from '../../services/safety/server.ts'
import { createVisionServer } from '../../services/vision/server.ts'
import { openGeneration, readGenerationConfig } from './generation.ts'

/** How often each of the services was asked, by what for. */
export type Counts = Record<
  'segment' | 'patchFeatures' | 'imageEmbedding' | 'contextEmbedding' | 'draw' | keyof Safety,
  number
>

export interface TestGeneration extends AsyncDisposable {
  readonly client: GenerationClient
  readonly counts: Counts
  /** Promises, writes, and gives the upload's id. */
  upload(tenant: string, bytes: Uint8Array): Promise<string>
}

/**
 * What `moma serve generation` opens, with the bundle that comes along, beside services without networks that count how often
 * they are asked; they find the thing in the middle of every photo. `reach` is the way to the safety service.
 */
export async function openTestGeneration(
  safety: Safety,
  reach: 'in this process' | 'over the network' = 'in this process',
): Promise<TestGeneration> {
  await using opened = new AsyncDisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'moma-serve-'))
  opened.defer(() => rmSync(folder, { recursive: true }))
  const names = ['segment', 'patchFeatures', 'imageEmbedding', 'contextEmbedding', 'draw'] as const
  const gates = ['reviewSubject', 'reviewPrompt', 'reviewPicture'] as const
  const counts = Object.fromEntries([...names, ...gates].map((name) => [name, 0])) as Counts
  const counted = <Service extends object>(service: Service): Service =>
    new Proxy(service, {
      get(target, name, receiver) {
        if (Object.hasOwn(counts, name)) counts[name as keyof Counts]++
        return Reflect.get(target, name, receiver)
      },
    })

  const { vision, context, drawing } = createTestServices(createTestDrawing())
  const place = { slots: createSlots('test', { slots: 4, queue: 64 }), readiness: alwaysReady }
  const judging = createSafetyServer({ safety: counted(safety), ...place })
  const local = createLocalCalls()
  const host = (services: Parameters<typeof createMeshServer>[0]['services']) => {
    const server = createMeshServer({ services, local })
    opened.defer(() => server.dispose())
    return server
  }
  host([
    createVisionServer({ vision: counted({ ...vision, segment: async (photo) => middleOf(photo) }), ...place }),
    createContextServer({ context: counted(context), featureChannels: 3, ...place }),
    createDenoiseServer({ drawing: counted(drawing), latentChannels: 4, embeddingChannels: 3, ...place }),
    ...(reach === 'in this process' ? [judging] : []),
  ])
  const env: NodeJS.ProcessEnv = { MOMA_DATA: folder, MOMA_DRAIN_MS: '0' }
  if (reach === 'over the network') {
    const server = createMeshServer({ services: [judging] })
    opened.defer(() => server.dispose())
    env.MOMA_SAFETY = formatAddress(await server.listen({ host: '127.0.0.1', port: 0 }))
  }
  const config = readGenerationConfig(env, ['vision', 'context', 'denoise', 'safety'])
  const record = await openGeneration(config, { log: silentLogger, metrics: createMetrics() }, local)
  opened.defer(() => record.dispose())
  host(record.services)
  const client = createGenerationClient({ local })
  opened.defer(() => client[Symbol.dispose]())

  const kept = opened.move()
  return {
    client,
    counts,
    async upload(tenant, bytes) {
      const contentType = 'image/png'
      const { uploadId, token } = await client.createUpload({ tenant, contentType, byteLength: bytes.length })
      const { problem } = await client.writeUpload({ token, contentType }, inPieces(bytes))
      if (problem) throw new Error(problem.message)
      return uploadId
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

function middleOf({ widthPx, heightPx }: { readonly widthPx: number; readonly heightPx: number }) {
  const isInside = (at: number, px: number) => at >= px / 4 && at < (3 * px) / 4
  const pixels = Uint8Array.from({ length: widthPx * heightPx }, (_, place) =>
    isInside(place % widthPx, widthPx) && isInside(Math.floor(place / widthPx), heightPx) ? 255 : 0,
  )
  return { widthPx, heightPx, pixels }
}
