import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const binary = process.env.MOMA_NATS_SERVER ?? 'nats-server'

/** Whether tests can have a server of their own. */
export const hasNatsServer: boolean = spawnSync(binary, ['--version']).status === 0

/** A throw-away nats-server with JetStream on a free port of loopback. */
export interface NatsServer extends AsyncDisposable {
  readonly url: string
  stop(): Promise<void>
  /** On the same port; `loseStore`: with nothing of what it kept; `token`: for those alone who have it. */
  start(options?: { readonly loseStore?: boolean; readonly token?: string }): Promise<void>
}

export async function startNatsServer({ jetStream = true } = {}): Promise<NatsServer> {
  const folder = await mkdtemp(join(tmpdir(), 'moma-nats-'))
  const port = await freePort()
  let child: ChildProcess | null = null
  const server: NatsServer = {
    url: `nats://127.0.0.1:${port}`,
    async stop() {
      if (!child) return
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
      child = null
    },
    async start({ loseStore = false, token } = {}) {
      if (loseStore) await rm(join(folder, 'jetstream'), { recursive: true, force: true })
      const store = jetStream ? ['-js', '-sd', folder] : []
      const auth = token === undefined ? [] : ['--auth', token]
      child = spawn(binary, ['-a', '127.0.0.1', '-p', String(port), ...store, ...auth], { stdio: 'ignore' })
      await untilListening(port, child)
    },
    async [Symbol.asyncDispose]() {
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
  await server.start()
  return server
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || !address) throw new TypeError('no port')
  return address.port
}

async function untilListening(port: number, child: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (child.exitCode !== null) throw new Error(`nats-server ended with ${child.exitCode}`)
    const socket = connect(port, '127.0.0.1')
    const isOpen = await Promise.race([
      once(socket, 'connect').then(
        () => true,
        () => false,
      ),
      sleep(1000, false),
    ])
    socket.destroy()
    if (isOpen) return
    await sleep(25)
  }
  throw new Error('nats-server does not listen')
}
