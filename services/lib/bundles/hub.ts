import { HUB_URL, HubApiError, type ListFileEntry, listFiles, modelInfo } from '@huggingface/hub'
import type { Digest } from './digest.ts'
import { BundleError, reasonOf } from './errors.ts'
import { assertInside } from './paths.ts'
import { defaultRetry, type RetryPolicy, withRetries } from './retry.ts'

/** How to reach a hub. */
export interface Hub {
  /** Address without a slash at its end. */
  readonly url: string
  readonly token?: string
  readonly retry: RetryPolicy
  /** How long a connection may bring nothing before it counts as cut, in milliseconds. */
  readonly idleTimeoutMs: number
  readonly signal?: AbortSignal
}

/** A file as the hub lists it at one commit. */
export interface HubFile {
  readonly path: string
  readonly sizeBytes: number
  readonly digest: Digest
}

export interface HubListing {
  readonly repository: string
  readonly commit: string
  readonly files: readonly HubFile[]
}

const mostFiles = 20_000

/** The hub by the environment: `HF_ENDPOINT` and `HF_TOKEN`. Throws `BundleError` where one of them can't be meant so. */
export function hubFromEnvironment(env: NodeJS.ProcessEnv = process.env, signal?: AbortSignal): Hub {
  const url = (env.HF_ENDPOINT || HUB_URL).replace(/\/+$/, '')
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    throw new BundleError('network', `HF_ENDPOINT is ${JSON.stringify(url)}; allowed: an http or https address.`)
  }
  const token = env.HF_TOKEN?.trim()
  if (token && !/^hf_[\x21-\x7e]+$/.test(token)) {
    throw new BundleError('access', 'HF_TOKEN is not an access token; allowed: one line that starts with "hf_".')
  }
  return { url, retry: defaultRetry, idleTimeoutMs: 60_000, ...(token ? { token } : {}), ...(signal ? { signal } : {}) }
}

/** The error for an answer of the hub, or of a server that it sent us to, that is no success; `what` is repository or file. */
export function refusal(
  status: number,
  repository: string,
  what: string,
  hub: Hub,
  retryAfterMs?: number,
): BundleError {
  if (status === 401 || status === 403) {
    const remedy = hub.token
      ? `The token in HF_TOKEN has no access to it: ask for access at ${hub.url}/${repository} with the token's account.`
      : `It is gated, private or does not exist: ask for access at ${hub.url}/${repository}, then set HF_TOKEN to an access token.`
    return new BundleError('access', `${repository} was refused with status ${status}. ${remedy}`)
  }
  if (status === 404) return new BundleError('notFound', `${what} does not exist at ${hub.url}.`)
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    return new BundleError('network', `${hub.url} answered with status ${status} for ${what}.`, { retryAfterMs })
  }
  return new BundleError('notFound', `${hub.url} answered with status ${status} for ${what}.`)
}

async function ask<T>(
  hub: Hub,
  repository: string,
  what: string,
  question: (fetcher: typeof fetch) => Promise<T>,
): Promise<T> {
  return withRetries(hub.retry, hub.signal, async () => {
    const timeout = AbortSignal.timeout(hub.idleTimeoutMs)
    const signal = hub.signal ? AbortSignal.any([hub.signal, timeout]) : timeout
    try {
      return await question((input, init) => fetch(input, { ...init, signal }))
    } catch (error) {
      if (error instanceof BundleError) throw error
      if (error instanceof HubApiError) throw refusal(error.statusCode, repository, what, hub)
      throw new BundleError('network', `${hub.url} can't be reached for ${what}: ${reasonOf(error)}.`, { cause: error })
    }
  })
}

function digestOf(entry: ListFileEntry, what: string): Digest {
  const sha256 = entry.lfs?.oid
  if (sha256 !== undefined && /^[0-9a-f]{64}$/.test(sha256)) return { algorithm: 'sha256', hex: sha256 }
  if (sha256 === undefined && entry.oid !== undefined && /^[0-9a-f]{40}$/.test(entry.oid))
    return { algorithm: 'git-sha1', hex: entry.oid }
  throw new BundleError('checksum', `${what} lists ${entry.path} without a checksum that can be checked.`)
}

/**
 * Asks the hub for the commit that a revision means now, and for every file at that commit.
 * Throws `BundleError`: `access` for gated repositories, `notFound`, `network`, `unsafePath` for a path that leaves its folder.
 */
export async function listRepository(hub: Hub, repository: string, revision: string): Promise<HubListing> {
  const what = `${repository} at ${revision}`
  const credentials = { hubUrl: hub.url, ...(hub.token ? { accessToken: hub.token } : {}) }
  const { sha: commit } = await ask(hub, repository, what, (fetcher) =>
    modelInfo({ name: repository, revision, additionalFields: ['sha'], fetch: fetcher, ...credentials }),
  )
  if (!/^[0-9a-f]{40}$/.test(commit)) throw new BundleError('notFound', `${hub.url} gives no commit for ${what}.`)
  const files = await ask(hub, repository, what, async (fetcher) => {
    const found: HubFile[] = []
    for await (const entry of listFiles({
      repo: repository,
      revision: commit,
      recursive: true,
      fetch: fetcher,
      ...credentials,
    })) {
      if (entry.type !== 'file') continue
      assertInside(entry.path, `${what} at ${hub.url}`)
      if (found.length >= mostFiles) throw new BundleError('unsafePath', `${what} lists more than ${mostFiles} files.`)
      found.push({ path: entry.path, sizeBytes: entry.lfs?.size ?? entry.size, digest: digestOf(entry, what) })
    }
    return found
  })
  return { repository, commit, files }
}

/** The address of a file's bytes at a commit; the hub answers with the bytes or sends us on to where they lie. */
export function fileUrl(hub: Hub, repository: string, commit: string, path: string): string {
  return `${hub.url}/${repository}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`
}
