import { wordField } from '../../lib/mesh/fields.ts'
import type { ApiKey } from '../../lib/mesh/generated/moma/generation/v1/ApiKey.ts'
import type { Scope } from '../db/schema.ts'
import type { ApiKeyRow } from '../store/api-keys.ts'
import { toTimestamp } from './timestamp.ts'

const scopes = { SCOPE_READ: 'READ', SCOPE_WRITE: 'WRITE' } as const satisfies Record<string, Scope>

export function apiKeyMessage({ id, tenant, name, scopes, prefix, createdAt, revokedAt }: ApiKeyRow): ApiKey {
  return {
    id,
    tenant,
    name,
    prefix,
    scopes: scopes.map((scope) => `SCOPE_${scope}` as const),
    createTime: toTimestamp(createdAt),
    revokeTime: revokedAt && toTimestamp(revokedAt),
  }
}

/** None means all. Throws INVALID_ARGUMENT. */
export function readScopes(values: readonly string[]): readonly Scope[] {
  return values.length === 0 ? ['READ', 'WRITE'] : values.map((value) => wordField('scopes', value, scopes))
}
