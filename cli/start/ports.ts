import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { systemCode } from '../../services/lib/bundles/errors.ts'
import { ConfigError } from '../../services/lib/mesh/config.ts'

/**
 * Below what systems hand to outgoing connections (Linux from 32768 on, others from 49152): a connection would keep the
 * port of a process that is to be started again.
 */
const range = { first: 20_000, end: 30_000 }
const maxTries = 200

/** Ports of loopback that are free now, all of them different. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>()
  for (let tries = 0; found.size < count; tries++) {
    if (tries >= maxTries) throw new Error(`no free port from ${range.first} to ${range.end - 1} on 127.0.0.1`)
    const port = randomInt(range.first, range.end)
    if (await isFree('127.0.0.1', port)) found.add(port)
  }
  return [...found]
}

/** Whether somebody could listen there now. Throws what the system says where it is not that the port is taken. */
export async function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, host)
    await once(server, 'listening')
    return true
  } catch (error) {
    if (systemCode(error) === 'EADDRINUSE') return false
    throw error
  } finally {
    server.close()
  }
}

/** Throws a ConfigError where the gateway could not listen at HOST and PORT now. */
export async function requireFree(host: string, port: number): Promise<void> {
  const free = await isFree(host, port).catch((error: unknown) => {
    throw listenFault(error, host, port) ?? error
  })
  if (!free) throw new ConfigError(`PORT is ${port}; allowed: a port that is free on ${host}.`)
}

const isNoAddressHere = /^(EADDRNOTAVAIL|EAFNOSUPPORT|EINVAL|ENOTFOUND|EAI_\w+)$/

/** What is wrong with HOST or PORT by what the system says of listening there; null where it is neither. */
export function listenFault(error: unknown, host: string, port: number): ConfigError | null {
  const code = systemCode(error) ?? ''
  // Of an address it says the port, of a name that nobody knows the name.
  const asked = error as { readonly port?: unknown; readonly hostname?: unknown }
  if (asked.port !== port && asked.hostname !== host) return null
  if (code === 'EACCES')
    return new ConfigError(`PORT is ${port}; allowed: one that this user may listen at, such as 4000.`)
  if (!isNoAddressHere.test(code)) return null
  return new ConfigError(`HOST is ${JSON.stringify(host)}; allowed: an address of this machine, such as 127.0.0.1.`)
}
