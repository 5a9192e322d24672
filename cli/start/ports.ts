import { once } from 'node:events'
import { createServer } from 'node:net'

/** Ports of loopback that are free now, all of them different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  try {
    await Promise.all(servers.map((server) => once(server, 'listening')))
    return servers.map((server) => {
      const bound = server.address()
      if (typeof bound !== 'object' || bound === null) throw new TypeError('a listening server has no port')
      return bound.port
    })
  } finally {
    for (const server of servers) server.close()
  }
}

/** Whether somebody could listen there now. Throws what the system says where it is not that the port is taken. */
export async function isFree(host: string, port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, host)
    await once(server, 'listening')
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false
    throw error
  } finally {
    server.close()
  }
}
