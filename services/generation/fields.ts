import { invalid } from '../lib/mesh/errors.ts'
import { wrongValue } from './problems.ts'

/** Throws INVALID_ARGUMENT: tenants are named by the gateway and by operators, not by clients. */
export function tenantField(tenant: string): string {
  if (/^[a-z0-9-]{1,64}$/.test(tenant)) return tenant
  throw invalid('tenant', tenant, '1 to 64 of a-z, 0-9 and "-"')
}

/** Throws INVALID_ARGUMENT on more than 100 ids. */
export function idsField(ids: readonly string[]): readonly string[] {
  if (ids.length <= 100) return ids
  throw invalid('ids', `${ids.length} ids`, 'at most 100')
}

/** Null for none. Throws Refused on more than 255 characters. */
export function idempotencyKeyField(key: string): string | null {
  if (key.length > 255) throw wrongValue('idempotencyKey', key, '1 to 255 characters')
  return key === '' ? null : storableText('idempotencyKey', key)
}

/** Throws Refused on NUL, the one character that PostgreSQL can't keep. */
export function storableText(field: string, text: string): string {
  if (!text.includes('\0')) return text
  throw wrongValue(field, text, 'a text without NUL characters')
}
