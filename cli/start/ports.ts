import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

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
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false
    throw error
  } finally {
    server.close()
  }
}
