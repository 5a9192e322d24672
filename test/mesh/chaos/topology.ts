import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { gatewayIsReady, serviceServes } from '../../../cli/health.ts'
import { freePorts } from '../../../cli/start/ports.ts'
import { type Member, supervise } from '../../../cli/start/supervisor.ts'
import { type StartedMesh, startMesh } from '../start-mesh.ts'

/** A mesh whose processes can be killed. */
export interface Topology extends AsyncDisposable {
  readonly url: string
  /** What can be killed, the more often the more often it stands here. */
  readonly victims: readonly string[]
  /** SIGKILL; false where the process does not live right now. */
  kill(victim: string): Promise<boolean>
  /** Whether everything serves. */
  isWhole(): Promise<boolean>
  /** What its processes have said last. */
  lastWords(): string
}

const program = fileURLToPath(new URL('../../../cli/moma.ts', import.meta.url))

/** A toy picture takes a second: a checkpoint every other step is in proportion. */
const variables = {
  MOMA_BUNDLE: 'moma-toy',
  LOG_LEVEL: process.env.LOG_LEVEL ?? 'fatal',
  MOMA_CHECKPOINT_STEPS: '2',
  MOMA_PREVIEW_STEPS: '2',
}

/** `moma start`, whose supervisor may be killed too; whoever watches over it then starts it again. */
export async function startEmbedded(): Promise<Topology> {
  const data = await mkdtemp(join(tmpdir(), 'moma-chaos-'))
  const [port] = await freePorts(1)
  const start = () => startMesh({ data, port: port!, env: variables })
  let mesh: StartedMesh | null = await start()
  let starting: Promise<void> = Promise.resolve()
  /** The port and the database are free again once the children have noticed. */
  const startAgain = async () => {
    for (let tries = 0; !mesh; tries++) {
      try {
        mesh = await start()
      } catch (error) {
        if (tries >= 20) throw error
        await sleep(500)
      }
    }
  }
  const childPids = async (): Promise<Record<string, number>> => (mesh ? childrenOf(mesh.pid) : {})
  return {
    url: `http://127.0.0.1:${port}`,
    victims: ['services', 'services', 'services', 'services', 'gateway', 'gateway', 'start'],
    async kill(victim) {
      if (victim !== 'start') return killPid((await childPids())[victim])
      if (!mesh) return false
      await mesh.end('SIGKILL')
      mesh = null
      starting = startAgain()
      return true
    },
    async isWhole() {
      const { services } = await childPids()
      return isServing(`http://127.0.0.1:${port}`, [await listenAddress(services)])
    },
    lastWords: () => mesh?.output().slice(-2000) ?? 'it is being started again',
    async [Symbol.asyncDispose]() {
      await starting
      await mesh?.[Symbol.asyncDispose]()
      await rm(data, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    },
  }
}

/** Two copies of the generation service over one PostgreSQL and one NATS. */
export async function startOnServers(servers: {
  readonly NATS_URL: string
  readonly DATABASE_URL: string
}): Promise<Topology> {
  const data = await mkdtemp(join(tmpdir(), 'moma-chaos-'))
  const ports = await freePorts(4)
  const [compute, first, second, gateway] = ports.map((port) => `127.0.0.1:${port}`)
  const shared = { ...process.env, ...variables, ...servers, MOMA_DATA: data, MOMA_DRAIN_MS: '2000' }
  const member = (name: string, services: readonly string[], env: NodeJS.ProcessEnv): Member => ({
    name,
    command: [process.execPath, program, 'serve', ...services],
    env: { ...shared, ...env },
  })
  const at = { MOMA_VISION: compute, MOMA_CONTEXT: compute, MOMA_DENOISE: compute, MOMA_SAFETY: compute }
  const lines: string[] = []
  const tree = supervise(
    [
      member('compute', ['vision', 'context', 'denoise', 'safety'], { MOMA_LISTEN: compute }),
      member('generation 1', ['generation'], { ...at, MOMA_LISTEN: first }),
      member('generation 2', ['generation'], { ...at, MOMA_LISTEN: second }),
      member('gateway', ['gateway'], { HOST: '127.0.0.1', PORT: `${ports[3]}`, MOMA_GENERATION: `${first},${second}` }),
    ],
    { drainMs: 5000, onLine: (name, line) => void lines.splice(0, lines.push(`${name}: ${line}`) - 100) },
  )
  process.on('exit', () => tree.kill())
  await tree.ready()
  return {
    url: `http://${gateway}`,
    victims: ['compute', 'compute', 'generation 1', 'generation 2', 'gateway'],
    kill: async (victim) => killPid(tree.pids[victim]),
    isWhole: () => isServing(`http://${gateway}`, [compute, first, second]),
    lastWords: () => lines.slice(-20).join('\n'),
    async [Symbol.asyncDispose]() {
      await tree.end()
      await rm(data, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
    },
  }
}

async function isServing(url: string, addresses: readonly (string | null | undefined)[]): Promise<boolean> {
  const services = addresses.map(async (address) => (address ? serviceServes(address) : false))
  return (await Promise.all([gatewayIsReady(url), ...services])).every((serves) => serves)
}

function killPid(pid: number | undefined): boolean {
  if (pid === undefined) return false
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    return false
  }
}

/** The members of a `moma start`, by name. */
async function childrenOf(parent: number): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry)
    if (!Number.isInteger(pid)) continue
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) !== parent) continue
    const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
    const service = words[words.indexOf('serve') + 1]
    if (words.includes('serve') && service) found[service === 'gateway' ? service : 'services'] = pid
  }
  return found
}

/** MOMA_LISTEN of a process; null where it has gone. */
async function listenAddress(pid: number | undefined): Promise<string | null> {
  const text = pid === undefined ? '' : await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')
  return /(?:^|\0)MOMA_LISTEN=([^\0]*)/.exec(text)?.[1] ?? null
}
