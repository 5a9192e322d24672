import { createHash } from 'node:crypto'
import { GraphQLError } from 'graphql'
import type { GenerationClient } from '../services/generation/client.ts'
import { MeshError } from '../services/lib/mesh/errors.ts'
import type { AuthMode } from './config.ts'
import { clientError } from './errors.ts'
import { createLru } from './lru.ts'

export type Scope = 'READ' | 'WRITE'

/** Who asks. */
export interface Caller {
  readonly tenant: string
  readonly scopes: ReadonlySet<Scope>
}

/** Says who asks. */
export interface Access {
  /**
   * The owner of the key in an Authorization header. Throws an error with the code UNAUTHENTICATED, or
   * SERVICE_UNAVAILABLE when it can't be told: nobody is let in then.
   */
  identify(authorization: string | undefined): Promise<Caller>
  /** Whether there is an API key that works. Throws a MeshError when it can't be told. */
  hasKeys(): Promise<boolean>
}

export interface AccessOptions {
  readonly mode: AuthMode
  /** Whether whoever reaches the gateway is on this machine. */
  readonly forThisMachine: boolean
  readonly generation: Pick<GenerationClient, 'authenticate' | 'listApiKeys'>
  /** How long an answer of the service is believed, and so how long a revoked key still works. */
  readonly keepMs?: number
}

/** Owners that are remembered. */
const keptOwners = 10_000

const localCaller: Caller = { tenant: 'local', scopes: new Set(['READ', 'WRITE']) }

export function createAccess({ mode, forThisMachine, generation, keepMs = 10_000 }: AccessOptions): Access {
  // By the keys' hashes: a dump of this process's memory shows no key that is not in use right then.
  const owners = createLru<Kept<Caller>>(keptOwners)
  let keys: Kept<boolean> | undefined

  const hasKeys = (): Promise<boolean> => {
    if (keys && keys.until > performance.now()) return keys.value
    const value = generation
      .listApiKeys({})
      .then(({ apiKeys }) => apiKeys.some(({ revokeTime }) => revokeTime === null))
    keys = keep(value, keepMs)
    value.catch(() => {
      keys = undefined
    })
    return value
  }

  const ownerOf = (key: string): Promise<Caller> => {
    const hash = createHash('sha256').update(key).digest('base64')
    const known = owners.get(hash)
    if (known && known.until > performance.now()) return known.value
    const value = generation.authenticate({ apiKey: key }).then(({ tenant, scopes }) => ({
      tenant,
      scopes: new Set(scopes.map((scope) => scope.replace('SCOPE_', '') as Scope)),
    }))
    owners.set(hash, keep(value, keepMs))
    value.catch(() => owners.delete(hash))
    return value
  }

  return {
    hasKeys,
    async identify(authorization) {
      try {
        if (mode === 'open') return localCaller
        const key = /^Bearer +([\x21-\x7e]{1,512})$/i.exec(authorization ?? '')?.[1]
        if (key !== undefined) return await ownerOf(key)
        if (authorization === undefined && mode === 'auto' && forThisMachine && !(await hasKeys())) return localCaller
        const shown = authorization === undefined ? 'missing' : 'of another form'
        throw unauthenticated(`the header Authorization is ${shown}, allowed is "Bearer" and an API key`)
      } catch (error) {
        throw error instanceof MeshError ? forClients(error) : error
      }
    },
  }
}

/** Throws FORBIDDEN unless the caller's key may be used for it. */
export function requireScope({ scopes }: Caller, scope: Scope, what: string): void {
  if (scopes.has(scope)) return
  throw clientError('FORBIDDEN', `${what} need an API key with the scope ${scope}, this one has ${list(scopes)}`, 403)
}

const list = (scopes: ReadonlySet<Scope>) => [...scopes].join(', ') || 'none'

interface Kept<T> {
  readonly value: Promise<T>
  /** Of performance.now(). */
  readonly until: number
}

const keep = <T>(value: Promise<T>, keepMs: number): Kept<T> => ({ value, until: performance.now() + keepMs })

function unauthenticated(message: string): GraphQLError {
  const http = { status: 401, headers: new Map([['www-authenticate', 'Bearer']]) }
  return new GraphQLError(message, { extensions: { code: 'UNAUTHENTICATED', http } })
}

function forClients(error: MeshError): GraphQLError {
  if (error.code === 'UNAUTHENTICATED') return unauthenticated('the API key is unknown or revoked')
  return new GraphQLError(error.message, { originalError: error, extensions: { http: { status: 503 } } })
}
