import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js'

/** PEM texts. */
export interface TlsIdentity {
  readonly certificate: Uint8Array
  readonly key: Uint8Array
  /** Who signs the other side's certificates. A server with one asks every client for such a certificate (mutual TLS). */
  readonly authority: Uint8Array | null
  /** When the certificate does. */
  readonly expires: Date
}

export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  readonly authority: string | null
}

/** Throws where a file can't be read, or the certificate is none. */
export async function readTls({ certificate, key, authority }: TlsFiles): Promise<TlsIdentity> {
  const own = await readFile(certificate)
  return {
    certificate: own,
    key: await readFile(key),
    authority: authority === null ? null : await readFile(authority),
    expires: new Date(new X509Certificate(own).validTo),
  }
}

const dayMs = 24 * 3600_000
const warnedBeforeDays = 30

/**
 * Warns now and every day, until it is disposed, when this process's certificate soon expires or has: it was read once,
 * so that a newer one in its file is that of the next start.
 */
export function watchExpiry({ expires }: TlsIdentity, warn: (message: string) => void): Disposable {
  const look = () => {
    const days = Math.floor((expires.getTime() - Date.now()) / dayMs)
    if (days < 0) warn('the certificate of MOMA_TLS_CERTIFICATE, as it was read at the start, has expired')
    else if (days < warnedBeforeDays) warn(`the certificate of MOMA_TLS_CERTIFICATE expires in ${days} days`)
  }
  look()
  const timer = setInterval(look, dayMs).unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}

export function serverCredentials(tls: TlsIdentity | null): ServerCredentials {
  if (!tls) return ServerCredentials.createInsecure()
  const pair = { cert_chain: Buffer.from(tls.certificate), private_key: Buffer.from(tls.key) }
  const authority = tls.authority && Buffer.from(tls.authority)
  return ServerCredentials.createSsl(authority, [pair], authority !== null)
}

export function channelCredentials(tls: TlsIdentity | null): ChannelCredentials {
  if (!tls) return ChannelCredentials.createInsecure()
  const { certificate, key, authority } = tls
  return ChannelCredentials.createSsl(authority && Buffer.from(authority), Buffer.from(key), Buffer.from(certificate))
}
