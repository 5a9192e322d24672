import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { createToyBundle } from '../../test/toy-bundle.ts'
import { NotInBundle } from '../lib/bundles/errors.ts'
import { type Manifest, readManifest } from '../lib/bundles/manifest.ts'
import type { Address } from '../lib/mesh/address.ts'
import { generationContract } from '../lib/mesh/contracts.ts'
import { createMeshClient } from '../lib/mesh/grpc-client.ts'
import { createMeshServer } from '../lib/mesh/grpc-server.ts'
import { createGenerationClient, type GenerationClient } from './client.ts'
import type { Database } from './db/database.ts'
import { defaultLimits } from './limits.ts'
import { createGenerationServer, type GenerationServerOptions } from './server.ts'
import { allowed, openWorld, type World } from './test-world.ts'

/** So long that no test sees a row where an event is on its way; tests of what happens without events serve with less. */
const quietMs = 60_000

export interface ServedWorld extends World {
  readonly manifest: Manifest
  readonly client: GenerationClient
  /** The same service with something in another's place; ends with the test's world. */
  serve(options?: Partial<GenerationServerOptions>): Promise<GenerationClient>
  /** A client without the convenience of the other one. */
  readonly raw: ReturnType<typeof createMeshClient<typeof generationContract.definition>>
  /** Promises, writes, and gives the upload's id. */
  upload(tenant: string, bytes: Uint8Array, contentType?: string): Promise<string>
}

/** The service over real gRPC on loopback, before a vision without segmentation and a judge that allows everything. */
export async function serveWorld(kind: Database['kind']): Promise<ServedWorld> {
  await using opened = new AsyncDisposableStack()
  const world = opened.use(await openWorld(kind))
  using bundle = createToyBundle()
  const manifest = await readManifest(`${bundle.folder}/manifest.json`)

  const start = async (options: Partial<GenerationServerOptions>): Promise<Address> => {
    const service = createGenerationServer({
      ...world,
      manifest,
      limits: defaultLimits,
      executionProvider: 'cpu',
      quietMs,
      vision: {
        segment: async () => {
          throw new NotInBundle('this bundle has no segmentation network')
        },
      },
      safety: { reviewPrompt: async () => allowed, reviewSubject: async () => allowed },
      ...options,
    })
    const server = createMeshServer({ services: [service] })
    kept.defer(() => server.dispose())
    return server.listen({ host: '127.0.0.1', port: 0 })
  }
  const serve = async (options: Partial<GenerationServerOptions> = {}) => {
    const client = createGenerationClient({ addresses: [await start(options)] })
    kept.defer(() => client[Symbol.dispose]())
    return client
  }

  const kept = opened.move()
  const address = await start({})
  const client = createGenerationClient({ addresses: [address] })
  kept.defer(() => client[Symbol.dispose]())
  const raw = createMeshClient(generationContract, { addresses: [address], deadlineMs: 5000 })
  kept.defer(() => raw.dispose())

  return {
    ...world,
    manifest,
    client,
    raw,
    serve,
    async upload(tenant, bytes, contentType = 'image/png') {
      const { uploadId, token } = await client.createUpload({ tenant, contentType, byteLength: bytes.length })
      const { problem } = await client.writeUpload({ token, contentType }, inPieces(bytes))
      if (problem) throw new Error(problem.message)
      return uploadId
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

/** The bytes as a network would bring them. */
export async function* inPieces(bytes: Uint8Array, pieceBytes = 1000): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += pieceBytes) yield bytes.subarray(start, start + pieceBytes)
}

/** A red square on green; the square is the subject. */
const picture = (channels: 3 | 4, background: object) =>
  sharp({ create: { width: 96, height: 96, channels, background } }).composite([
    { input: { create: { width: 48, height: 48, channels: 3, background: '#ff0000' } }, left: 24, top: 24 },
  ])

export const opaquePhoto = (): Promise<Buffer> => picture(3, { r: 0, g: 160, b: 0 }).png().toBuffer()
export const cutOutPhoto = (): Promise<Buffer> => picture(4, { r: 0, g: 0, b: 0, alpha: 0 }).png().toBuffer()
export const maskOfPhoto = (): Promise<Buffer> =>
  sharp({ create: { width: 96, height: 96, channels: 3, background: '#000000' } })
    .composite([
      { input: { create: { width: 48, height: 48, channels: 3, background: '#ffffff' } }, left: 24, top: 24 },
    ])
    .png()
    .toBuffer()

export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error('it did not come about')
    await sleep(10)
  }
}
