import type { MethodDefinition } from '@grpc/proto-loader'
import { generationContract } from '../lib/mesh/contracts.ts'
import type { EndpointOptions } from '../lib/mesh/endpoints.ts'
import { MeshError } from '../lib/mesh/errors.ts'
import type { AssetHeader__Output as AssetHeader } from '../lib/mesh/generated/moma/generation/v1/AssetHeader.ts'
import type { GenerationServiceDefinition } from '../lib/mesh/generated/moma/generation/v1/GenerationService.ts'
import type { ReadAssetRequest } from '../lib/mesh/generated/moma/generation/v1/ReadAssetRequest.ts'
import type { WatchGenerationRequest } from '../lib/mesh/generated/moma/generation/v1/WatchGenerationRequest.ts'
import type { WatchGenerationResponse__Output as WatchGenerationResponse } from '../lib/mesh/generated/moma/generation/v1/WatchGenerationResponse.ts'
import type { WriteUploadHeader } from '../lib/mesh/generated/moma/generation/v1/WriteUploadHeader.ts'
import type { WriteUploadRequest } from '../lib/mesh/generated/moma/generation/v1/WriteUploadRequest.ts'
import type { WriteUploadResponse__Output as WriteUploadResponse } from '../lib/mesh/generated/moma/generation/v1/WriteUploadResponse.ts'
import { createMeshClient } from '../lib/mesh/grpc-client.ts'

type Streamed = 'WriteUpload' | 'ReadAsset' | 'WatchGeneration'
/** The definition's index signature names no method. */
type Named<Name> = string extends Name ? never : number extends Name ? never : Name & string

type UnaryMethods = {
  readonly [Name in keyof GenerationServiceDefinition as Uncapitalize<
    Exclude<Named<Name>, Streamed>
  >]: GenerationServiceDefinition[Name] extends MethodDefinition<infer Request, infer _, infer __, infer Response>
    ? (request: Request, signal?: AbortSignal) => Promise<Response>
    : never
}

/** moma.generation.v1 somewhere else. Everything throws a MeshError, or the signal's reason. */
export interface GenerationClient extends UnaryMethods, Disposable {
  /** Streams the bytes as they come; a throwing `bytes` cancels the call, and nothing is kept. */
  writeUpload(
    header: WriteUploadHeader,
    bytes: AsyncIterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<WriteUploadResponse>
  /** What the asset is, and its bytes as they come; one who doesn't read them to their end calls `bytes.return()`. */
  readAsset(request: ReadAssetRequest, signal?: AbortSignal): Promise<ReadableAsset>
  watchGeneration(request: WatchGenerationRequest, signal?: AbortSignal): AsyncGenerator<WatchGenerationResponse>
  /** How many addresses serve now. */
  readonly serving: number
}

export interface ReadableAsset {
  readonly header: AssetHeader
  readonly bytes: AsyncGenerator<Uint8Array, void, undefined>
}

/** Of what the system of record answers by itself. */
const defaultDeadlineMs = 15_000

/** Of what waits for networks, files or a person's line. A watch that ends at its deadline is taken up again by its caller. */
export const deadlinesMs = {
  CreateSubject: 120_000,
  DeleteSubject: 60_000,
  WriteUpload: 300_000,
  ReadAsset: 300_000,
  WatchGeneration: 3 * 3600_000,
}

/** Most bytes of one message of an upload. */
const pieceBytes = 2 ** 20

export function createGenerationClient(options: EndpointOptions): GenerationClient {
  const client = createMeshClient(generationContract, { ...options, deadlineMs: defaultDeadlineMs, deadlinesMs })
  return {
    authenticate: (request, signal) => client.unary('Authenticate', request, signal),
    createApiKey: (request, signal) => client.unary('CreateApiKey', request, signal),
    listApiKeys: (request, signal) => client.unary('ListApiKeys', request, signal),
    revokeApiKey: (request, signal) => client.unary('RevokeApiKey', request, signal),
    createUpload: (request, signal) => client.unary('CreateUpload', request, signal),
    createSubject: (request, signal) => client.unary('CreateSubject', request, signal),
    getSubjects: (request, signal) => client.unary('GetSubjects', request, signal),
    listSubjects: (request, signal) => client.unary('ListSubjects', request, signal),
    deleteSubject: (request, signal) => client.unary('DeleteSubject', request, signal),
    createGeneration: (request, signal) => client.unary('CreateGeneration', request, signal),
    getGenerations: (request, signal) => client.unary('GetGenerations', request, signal),
    listGenerations: (request, signal) => client.unary('ListGenerations', request, signal),
    cancelGeneration: (request, signal) => client.unary('CancelGeneration', request, signal),
    getCapabilities: (request, signal) => client.unary('GetCapabilities', request, signal),
    writeUpload: (header, bytes, signal) => client.clientStream('WriteUpload', () => pieces(header, bytes), signal),
    async readAsset(request, signal) {
      const responses = client.serverStream('ReadAsset', request, signal)
      const { value } = await responses.next()
      if (value?.header) return { header: value.header, bytes: bytesOf(responses) }
      await responses.return(undefined)
      throw new MeshError('INTERNAL', 'generation did not say what the asset is')
    },
    watchGeneration: (request, signal) => client.serverStream('WatchGeneration', request, signal),
    get serving() {
      return client.serving
    },
    [Symbol.dispose]: () => client.dispose(),
  }
}

async function* pieces(
  header: WriteUploadHeader,
  bytes: AsyncIterable<Uint8Array>,
): AsyncGenerator<WriteUploadRequest, void, undefined> {
  yield { header }
  for await (const chunk of bytes) {
    for (let start = 0; start < chunk.length; start += pieceBytes) {
      yield { data: chunk.subarray(start, start + pieceBytes) }
    }
  }
}

async function* bytesOf(
  responses: AsyncGenerator<{ readonly data?: Uint8Array }>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { data } of responses) if (data) yield data
}
