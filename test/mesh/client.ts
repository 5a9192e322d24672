import { createClient as createSseClient } from 'graphql-sse'
import { type Client, createClient as createWsClient, type ExecutionResult } from 'graphql-ws'
import { WebSocket } from 'ws'

/** What a client outside does, over HTTP, WebSocket and server-sent events, as a partner's program would. */
export interface MeshHttpClient extends AsyncDisposable {
  /** Throws on GraphQL errors and on answers that are not of GraphQL. */
  ask<Data>(query: string, variables?: Record<string, unknown>, signal?: AbortSignal): Promise<Data>
  upload(bytes: Uint8Array, contentType: string): Promise<string>
  /** Bytes behind an address that the API gave. */
  bytes(url: string): Promise<Uint8Array>
  /** Snapshots until the generation has ended, over WebSocket or server-sent events. */
  watch(id: string, over: 'ws' | 'sse', after?: string): AsyncIterableIterator<Snapshot>
}

export interface Snapshot {
  readonly cursor: string
  readonly status: string
  readonly stage: string | null
  readonly step: number
  readonly steps: number
  readonly fraction: number
  readonly observedAt: string
  readonly preview: { readonly url: string } | null
}

const watchDocument = `subscription ($id: ID!, $after: String) {
  generationProgress(id: $id, after: $after) {
    cursor status stage step steps fraction observedAt preview { url }
  }
}`

/** Of one request. */
const timeoutMs = 30_000

export function createMeshHttpClient(url: string, key?: string): MeshHttpClient {
  const authorization: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` }
  let sockets: Client | undefined
  const ws = () => {
    sockets ??= createWsClient({
      url: `${url.replace(/^http/, 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: authorization,
      retryAttempts: 0,
    })
    return sockets
  }
  const sse = createSseClient({ url: `${url}/graphql/stream`, headers: authorization, retryAttempts: 0 })

  const ask: MeshHttpClient['ask'] = async <Data>(query: string, variables = {}, signal?: AbortSignal) => {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json', ...authorization },
      body: JSON.stringify({ query, variables }),
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]),
    })
    const text = await response.text()
    const result = JSON.parse(text) as { data?: Data; errors?: readonly { readonly message: string }[] }
    if (!result.data || result.errors) throw new GraphQLFault(response.status, text)
    return result.data
  }

  return {
    ask,
    async upload(content, contentType) {
      const { createUpload } = await ask<{ createUpload: UploadPayload }>(
        `mutation ($input: CreateUploadInput!) {
          createUpload(input: $input) { uploadId url method headers { name value } problem { message } }
        }`,
        { input: { contentType, byteLength: content.length } },
      )
      if (createUpload.problem) throw new Error(createUpload.problem.message)
      const response = await fetch(createUpload.url, {
        method: createUpload.method,
        headers: Object.fromEntries(createUpload.headers.map(({ name, value }) => [name, value])),
        body: Uint8Array.from(content),
        signal: AbortSignal.timeout(timeoutMs),
      })
      if (!response.ok) throw new GraphQLFault(response.status, await response.text())
      return createUpload.uploadId
    },
    async bytes(address) {
      const response = await fetch(address, { signal: AbortSignal.timeout(timeoutMs) })
      if (!response.ok) throw new GraphQLFault(response.status, await response.text())
      return new Uint8Array(await response.arrayBuffer())
    },
    async *watch(id, over, after) {
      const payload = { query: watchDocument, variables: { id, after: after ?? null } }
      const results = over === 'ws' ? ws().iterate(payload) : sse.iterate(payload)
      for await (const { data, errors } of results as AsyncIterable<
        ExecutionResult<{ generationProgress: Snapshot }>
      >) {
        if (!data || errors) throw new Error(`the subscription failed: ${JSON.stringify(errors)}`)
        yield data.generationProgress
      }
    },
    async [Symbol.asyncDispose]() {
      await sockets?.dispose()
      sse.dispose()
    },
  }
}

/** What was answered instead of data. */
export class GraphQLFault extends Error {
  readonly httpStatus: number

  constructor(httpStatus: number, text: string) {
    super(`HTTP ${httpStatus}: ${text.slice(0, 500)}`)
    this.httpStatus = httpStatus
  }
}

interface UploadPayload {
  readonly uploadId: string
  readonly url: string
  readonly method: string
  readonly headers: readonly { readonly name: string; readonly value: string }[]
  readonly problem: { readonly message: string } | null
}
