import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A file of a repository; LFS files are listed with their SHA-256 and served by the second server, as the hub's CDN does. */
export interface ServedFile {
  readonly content: Buffer
  readonly lfs: boolean
}

export interface ServedRepository {
  /** 40 digits. */
  readonly commit: string
  readonly files: Readonly<Record<string, ServedFile>>
  /** Only requests with this token may read. */
  readonly token?: string
}

/** What goes wrong with one request for a file's bytes. */
export type Fault =
  | { readonly kind: 'cut'; readonly afterBytes: number }
  | { readonly kind: 'status'; readonly status: number; readonly retryAfterSeconds?: number }
  | { readonly kind: 'ignore range' }
  | { readonly kind: 'other content'; readonly content: Buffer }
  | { readonly kind: 'stall'; readonly afterBytes: number }
  | { readonly kind: 'trickle'; readonly pieceBytes: number; readonly delayMs: number }

/** A request for bytes as the server saw it. */
export interface SeenRequest {
  readonly server: 'hub' | 'cdn'
  readonly method: string
  readonly path: string
  readonly range: string | undefined
  readonly ifRange: string | undefined
  readonly authorization: string | undefined
  status: number
  bytesSent: number
}

export interface LocalHub extends AsyncDisposable {
  readonly url: string
  /** Repositories by `owner/name`; replace one to make a new commit. */
  readonly repositories: Map<string, ServedRepository>
  /** Faults by path of the file, used up one a request. */
  readonly faults: Map<string, Fault[]>
  readonly requests: SeenRequest[]
  /** Bytes of the file in work that the client says it has; a cut waits for them, as a client may drop what it has not read yet. */
  clientBytes: number
}

export const lfs = (content: Buffer): ServedFile => ({ content, lfs: true })
export const small = (content: string): ServedFile => ({ content: Buffer.from(content), lfs: false })
export const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex')
const gitSha1 = (content: Buffer): string =>
  createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')

/** Entries a page of a listing: small, so that every listing has several. */
const pageSize = 2

function json(response: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}): void {
  response
    .writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', ...headers })
    .end(JSON.stringify(value))
}

function seen(server: SeenRequest['server'], request: IncomingMessage, path: string): SeenRequest {
  const { range, authorization } = request.headers
  const ifRange = request.headers['if-range']
  return {
    server,
    method: request.method ?? '',
    path,
    range,
    ifRange: Array.isArray(ifRange) ? ifRange[0] : ifRange,
    authorization,
    status: 0,
    bytesSent: 0,
  }
}

/** Sends bytes with RFC 9110's ranges and If-Range, and with the fault that is due. */
async function sendBytes(
  request: IncomingMessage,
  response: ServerResponse,
  log: SeenRequest,
  file: Buffer,
  fault: Fault | undefined,
  clientHas: (bytes: number) => Promise<void>,
  headers: Record<string, string> = {},
): Promise<void> {
  const respond = (status: number, extra: Record<string, string | number>) => {
    log.status = status
    response.writeHead(status, { ...headers, ...extra })
  }
  if (fault?.kind === 'status') {
    respond(fault.status, fault.retryAfterSeconds === undefined ? {} : { 'Retry-After': fault.retryAfterSeconds })
    response.end()
    return
  }
  const content = fault?.kind === 'other content' ? fault.content : file
  const etag = `"${sha256(content).slice(0, 32)}"`
  const range = /^bytes=(\d+)-(\d*)$/.exec(log.range ?? '')
  const unchanged = log.ifRange === undefined || log.ifRange === etag
  let start = 0
  let end = content.length
  if (range && unchanged && fault?.kind !== 'ignore range') {
    start = Number(range[1])
    end = range[2] ? Math.min(content.length, Number(range[2]) + 1) : content.length
    if (start >= content.length) {
      respond(416, { 'Content-Range': `bytes */${content.length}` })
      response.end()
      return
    }
    respond(206, {
      ETag: etag,
      'Content-Range': `bytes ${start}-${end - 1}/${content.length}`,
      'Content-Length': end - start,
    })
  } else {
    respond(200, { ETag: etag, 'Accept-Ranges': 'bytes', 'Content-Length': content.length })
  }
  if (request.method === 'HEAD') {
    response.end()
    return
  }
  const body = content.subarray(start, end)
  const send = (piece: Buffer) =>
    new Promise<void>((resolve) => {
      response.write(piece, () => resolve())
      log.bytesSent += piece.length
    })
  if (fault?.kind === 'cut' || fault?.kind === 'stall') {
    await send(body.subarray(0, fault.afterBytes))
    if (fault.kind === 'cut') {
      await clientHas(start + fault.afterBytes)
      response.destroy()
    }
    return
  }
  if (fault?.kind === 'trickle') {
    for (let at = 0; at < body.length && !response.destroyed; at += fault.pieceBytes) {
      await send(body.subarray(at, at + fault.pieceBytes))
      await sleep(fault.delayMs)
    }
  } else {
    await send(body)
  }
  response.end()
}

async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => Promise<void>,
): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    handler(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return { server, url: `http://127.0.0.1:${port}` }
}

/**
 * A hub on loopback that speaks as much of the hub's HTTP interface as its clients use to read models: model info at a revision, paged
 * tree listings, paths-info, and `resolve` with its redirect to a second server. After https://huggingface.co/docs/hub/api.
 */
export async function startHub(): Promise<LocalHub> {
  const repositories = new Map<string, ServedRepository>()
  const faults = new Map<string, Fault[]>()
  const requests: SeenRequest[] = []
  const state = { clientBytes: 0 }
  const clientHas = async (bytes: number) => {
    for (let waits = 0; state.clientBytes < bytes && waits < 500; waits++) await sleep(4)
  }

  const cdn = await listen(async (request, response) => {
    const [, owner, name, path = ''] = /^\/([^/]+)\/([^/]+)\/(.+)$/.exec(decodeURIComponent(request.url ?? '')) ?? []
    const log = seen('cdn', request, path)
    requests.push(log)
    const file = repositories.get(`${owner}/${name}`)?.files[path]
    if (file === undefined) return void response.writeHead(404).end()
    await sendBytes(request, response, log, file.content, faults.get(path)?.shift(), clientHas)
  })

  const entry = (path: string, { content, lfs: large }: ServedFile) => {
    const pointer = Buffer.from(
      `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(content)}\nsize ${content.length}\n`,
    )
    const plain = { type: 'file', path, size: content.length, oid: gitSha1(large ? pointer : content) }
    return large
      ? { ...plain, lfs: { oid: sha256(content), size: content.length, pointerSize: pointer.length } }
      : plain
  }

  const hub = await listen(async (request, response) => {
    const url = new URL(request.url ?? '/', 'http://hub')
    const path = decodeURIComponent(url.pathname)
    const api = /^\/api\/models\/([^/]+\/[^/]+)(?:\/(revision|tree|paths-info)\/([^/]+))?/.exec(path)
    const bytes = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path)
    const [, repositoryName = '', question = 'revision', revision = 'main'] = api ?? [
      undefined,
      bytes?.[1],
      'bytes',
      bytes?.[2],
    ]
    const repository = repositories.get(repositoryName)
    const known = repository && (revision === 'main' || revision === repository.commit)
    if (!known) return json(response, 404, { error: 'Repository not found' }, { 'X-Error-Code': 'RepoNotFound' })

    // Gated repositories show their listing to everybody; only the bytes are kept back.
    if (question === 'revision') {
      const { commit } = repository
      const info = {
        _id: '0',
        id: repositoryName,
        modelId: repositoryName,
        sha: commit,
        private: false,
        gated: repository.token ? 'auto' : false,
      }
      return json(response, 200, { ...info, downloads: 0, likes: 0, lastModified: '2024-01-01T00:00:00.000Z' })
    }
    const entries = Object.entries(repository.files).map(([name, file]) => entry(name, file))
    if (question === 'tree') {
      const folders = [
        ...new Set(
          entries.flatMap(({ path: file }) => (file.includes('/') ? [file.slice(0, file.lastIndexOf('/'))] : [])),
        ),
      ]
      const all = [
        ...folders.map((folder) => ({ type: 'directory', path: folder, size: 0, oid: '0'.repeat(40) })),
        ...entries,
      ]
      const at = Number(url.searchParams.get('cursor') ?? 0)
      url.searchParams.set('cursor', String(at + pageSize))
      const link =
        at + pageSize < all.length ? { Link: `<${hub.url}${url.pathname}${url.search}>; rel="next"` } : undefined
      return json(response, 200, all.slice(at, at + pageSize), link)
    }
    if (question === 'paths-info') {
      const chunks: Buffer[] = []
      for await (const chunk of request) if (Buffer.isBuffer(chunk)) chunks.push(chunk)
      const wanted: unknown = JSON.parse(Buffer.concat(chunks).toString())
      const paths =
        typeof wanted === 'object' && wanted !== null && 'paths' in wanted && Array.isArray(wanted.paths)
          ? wanted.paths
          : []
      const lastCommit = { id: repository.commit, title: 'files', date: '2024-01-01T00:00:00.000Z' }
      return json(
        response,
        200,
        entries.filter(({ path: file }) => paths.includes(file)).map((found) => ({ ...found, lastCommit })),
      )
    }

    const file = bytes?.[3] ?? ''
    const log = seen('hub', request, file)
    requests.push(log)
    if (repository.token !== undefined && log.authorization !== `Bearer ${repository.token}`) {
      log.status = 401
      return json(
        response,
        401,
        { error: `Access to model ${repositoryName} is restricted.` },
        { 'X-Error-Code': 'GatedRepo' },
      )
    }
    const found = repository.files[file]
    if (found === undefined) {
      log.status = 404
      return json(response, 404, { error: 'Entry not found' }, { 'X-Error-Code': 'EntryNotFound' })
    }
    const commit = { 'X-Repo-Commit': repository.commit }
    if (!found.lfs)
      return sendBytes(request, response, log, found.content, faults.get(file)?.shift(), clientHas, commit)
    log.status = 302
    const linked = { 'X-Linked-Size': found.content.length, 'X-Linked-ETag': `"${sha256(found.content)}"` }
    response.writeHead(302, { ...commit, ...linked, Location: `${cdn.url}/${repositoryName}/${encodeURI(file)}` }).end()
  })

  const stop = async () => {
    for (const { server } of [hub, cdn]) {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    }
  }
  return {
    url: hub.url,
    repositories,
    faults,
    requests,
    get clientBytes() {
      return state.clientBytes
    },
    set clientBytes(bytes: number) {
      state.clientBytes = bytes
    },
    [Symbol.asyncDispose]: stop,
  }
}
