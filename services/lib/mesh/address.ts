import { once } from 'node:events'
import type { Server } from 'node:http'

export interface Address {
  readonly host: string
  /** 0 where any free one will do. */
  readonly port: number
}

/** Reads `host:port` or `[IPv6]:port`; null where it is neither. */
export function parseAddress(text: string): Address | null {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^\s:/[\]]+)):(\d{1,5})$/.exec(text.trim())
  const port = Number(match?.[3])
  if (!match || port > 65_535) return null
  return { host: (match[1] ?? match[2])!, port }
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Listens, and says where: the port is a real one then. Throws what the system says when the address is taken. */
export async function listenAt(server: Server, { host, port }: Address): Promise<Address> {
  server.listen(port, host)
  await once(server, 'listening')
  const bound = server.address()
  return { host, port: typeof bound === 'object' && bound ? bound.port : port }
}
