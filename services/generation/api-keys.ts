import { MeshError } from '../lib/mesh/errors.ts'
import type { Database } from './db/database.ts'
import type { Scope } from './db/schema.ts'
import { newId, newToken, sha256 } from './ids.ts'
import { type ApiKeyRow, findWorkingKey, insertApiKey, listApiKeys, revokeApiKey } from './store/api-keys.ts'

const secretPrefix = 'moma_'
const shownCharacters = 12

export interface ApiKeys {
  /** Throws UNAUTHENTICATED for a key that is unknown or revoked. */
  authenticate(secret: string): Promise<ApiKeyRow>
  /** The secret is given this once; its hash is kept. */
  create(key: {
    readonly tenant: string
    readonly name: string
    readonly scopes: readonly Scope[]
  }): Promise<{ readonly secret: string; readonly row: ApiKeyRow }>
  /** Of one tenant, or all; the newest first. */
  list(tenant: string | null): Promise<readonly ApiKeyRow[]>
  /** Throws NOT_FOUND. */
  revoke(id: string): Promise<ApiKeyRow>
}

export function createApiKeys(db: Database, now: () => Date): ApiKeys {
  return {
    async authenticate(secret) {
      const row = await db.run((queries) => findWorkingKey(queries, sha256(secret)))
      if (!row) throw new MeshError('UNAUTHENTICATED', 'the API key is unknown or was revoked')
      return row
    },
    async create({ tenant, name, scopes }) {
      const secret = `${secretPrefix}${newToken()}`
      const row: ApiKeyRow = {
        id: newId('key'),
        tenant,
        name,
        scopes: [...new Set(scopes)],
        prefix: secret.slice(0, shownCharacters),
        hash: sha256(secret),
        createdAt: now(),
        revokedAt: null,
      }
      await db.run((queries) => insertApiKey(queries, row))
      return { secret, row }
    },
    list: (tenant) => db.run((queries) => listApiKeys(queries, tenant)),
    async revoke(id) {
      const row = await db.run((queries) => revokeApiKey(queries, id, now()))
      if (!row) throw new MeshError('NOT_FOUND', 'there is no API key with this id')
      return row
    },
  }
}
