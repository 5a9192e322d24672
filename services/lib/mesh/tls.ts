import { readFile } from 'node:fs/promises'
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js'

/** PEM texts. */
export interface TlsIdentity {
  readonly certificate: Uint8Array
  readonly key: Uint8Array
  /** Who signs the other side's certificates. A server with one asks every client for such a certificate (mutual TLS). */
  readonly authority: Uint8Array | null
}

export interface TlsFiles {
  readonly certificate: string
  readonly key: string
  readonly authority: string | null
}

export async function readTls({ certificate, key, authority }: TlsFiles): Promise<TlsIdentity> {
  return {
    certificate: await readFile(certificate),
    key: await readFile(key),
    authority: authority === null ? null : await readFile(authority),
  }
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
