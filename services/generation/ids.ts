import { createHash, randomBytes } from 'node:crypto'

/** What an id belongs to, in its first letters. */
export type IdPrefix = 'key' | 'up' | 'sub' | 'gen' | 'img'

/** An opaque id: 128 random bits. */
export function newId(prefix: IdPrefix): string {
  return `${prefix}_${randomBytes(16).toString('base64url')}`
}

/** A capability that nobody can guess: 256 random bits. */
export function newToken(): string {
  return randomBytes(32).toString('base64url')
}

/** SHA-256 in hexadecimal. */
export function sha256(bytes: string | Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** What a request is known by beside its idempotency key; fields in a fixed order. */
export function requestHash(fields: readonly unknown[]): string {
  return sha256(JSON.stringify(fields))
}
