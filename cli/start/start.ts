import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type AuthMode, gatewayShape, isForThisMachine } from '../../gateway/config.ts'
import { formatAddress } from '../../services/lib/mesh/address.ts'
import { ConfigError, readConfig, textSetting, wholeSetting, wordSetting } from '../../services/lib/mesh/config.ts'
import { logLevels } from '../../services/lib/mesh/log.ts'
import { LockHeld, takeLock } from '../../services/lib/process-lock/lock.ts'
import { leave, listenForEnd } from '../serve/ending.ts'
import { computeNames } from '../serve/names.ts'
import { requireSight } from '../serve/strangers.ts'
import { networksWhenTold, openNetworksMessage } from '../serve/told.ts'
import { chooseBundle } from './bundle.ts'
import { dataFolder, startLock } from './data.ts'
import { freePorts, requireFree } from './ports.ts'
import { readableLine } from './readable.ts'
import { buildMissingStudio } from './studio.ts'
import { type Member, supervise } from './supervisor.ts'

export const startShape = {
  HOST: textSetting.default('127.0.0.1'),
  PORT: wholeSetting(1, 65_535).default(4000),
  MOMA_PUBLIC_URL: gatewayShape.MOMA_PUBLIC_URL,
  MOMA_AUTH: gatewayShape.MOMA_AUTH,
  LOG_LEVEL: wordSetting(logLevels).default('warn'),
  /** What runs is taken up again at the next start, so nothing is worth a long wait for it. */
  MOMA_DRAIN_MS: wholeSetting(0, 60_000).default(2000),
}

/** Beyond its draining, what a process may take to let go of what it has open. */
const closeMs = 3000

/** Runs the whole mesh until it is told to end. Throws a ConfigError, a BundleError, or a MemberFailed. */
export async function start(env: NodeJS.ProcessEnv): Promise<void> {
  const started = performance.now()
  const ending = listenForEnd()
  const config = readConfig(startShape, env)
  const data = dataFolder(env)
  await using lock = await takeDataFolder(data)
  const bundle = await chooseBundle(env)
  await requireSight(env, bundle.name, [])
  const { HOST: host, PORT: port, MOMA_DRAIN_MS: drainMs } = config
  await requireFree(host, port)

  const [generationPort] = await freePorts(1)
  const generation = `127.0.0.1:${generationPort}`
  const shared = {
    MOMA_DATA: data,
    MOMA_BUNDLE: bundle.name,
    LOG_LEVEL: config.LOG_LEVEL,
    MOMA_DRAIN_MS: `${drainMs}`,
    // What was compiled at one start is there at the next.
    NODE_COMPILE_CACHE: env.NODE_COMPILE_CACHE ?? join(data, 'compile-cache'),
  }
  const member = (name: string, services: readonly string[], variables: NodeJS.ProcessEnv): Member => ({
    name,
    command: [process.execPath, join(import.meta.dirname, '../moma.ts'), 'serve', ...services],
    env: { ...withoutMeshVariables(env), ...shared, ...variables },
  })
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const withoutStudio = await buildMissingStudio()
  if (withoutStudio) say(withoutStudio)
  const tree = supervise(
    [
      member('services', ['generation', ...computeNames, networksWhenTold], { MOMA_LISTEN: generation }),
      member('gateway', ['gateway'], { HOST: host, PORT: `${port}`, MOMA_GENERATION: generation }),
    ],
    {
      drainMs: drainMs + closeMs,
      onLine: (name, line) => say(readableLine(name, line)),
      onRestart: (name, how, retryMs) => say(`${name} ${how}; it is started again in ${retryMs} ms`),
    },
  )
  process.on('exit', () => tree.kill())
  try {
    // The first pictures wait for the networks; everything else is there before them.
    const recordReady = tree.ready('services', 'generation')
    const working = Promise.all([recordReady, tree.ready('gateway')])
    // Where processors are few, networks that load would only hold up what people wait for.
    const undisturbed = availableParallelism() < 4 ? working : recordReady
    undisturbed.then(() => tree.tell('services', openNetworksMessage), ignore)
    const settled = await Promise.race([working.then(() => 'ready'), ending.asked.then(() => 'asked')])
    if (settled === 'ready') {
      await lock.tell({ gateway: formatAddress({ host, port }), generation })
      const seconds = ((performance.now() - started) / 1000).toFixed(1)
      const url = `http://${formatAddress({ host, port })}`
      process.stdout.write(
        welcome({
          url,
          data,
          seconds,
          note: bundle.note,
          access: accessSentence(config.MOMA_AUTH, isForThisMachine(config)),
        }),
      )
      const loaded = tree.ready('services').then(() => 'loaded')
      const isLoaded = (await Promise.race([loaded, sleep(0, 'loading')])) === 'loaded'
      if (!isLoaded) {
        say(`The networks of ${bundle.name} are still being loaded; pictures wait for them.`)
        loaded.then(() => say(`The networks of ${bundle.name} are loaded.`), ignore)
      }
      await Promise.race([ending.asked, tree.failed])
    }
  } finally {
    await tree.end()
    leave(0)
  }
}

const ignore = () => undefined

/** Throws a ConfigError that says what runs there already, and where. */
async function takeDataFolder(data: string) {
  try {
    return await takeLock(startLock(data))
  } catch (error) {
    if (!(error instanceof LockHeld)) throw error
    const { addresses } = error.holder
    const at = addresses.gateway === undefined ? 'it is just starting' : `http://${addresses.gateway}`
    throw new ConfigError(
      `A mesh runs on ${data} already (${error.who}, ${at}): use that one, end it, or set MOMA_DATA to another folder.`,
    )
  }
}

/** On loopback nothing is encrypted, no two processes can show their metrics at one address, and all services are here. */
function withoutMeshVariables(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const left = /^MOMA_(TLS_.*|METRICS_LISTEN|LISTEN|VISION|CONTEXT|DENOISE|SAFETY)$/
  return Object.fromEntries(Object.entries(env).filter(([name]) => !left.test(name)))
}

interface Welcome {
  readonly url: string
  readonly data: string
  readonly seconds: string
  readonly note: string | null
  /** Who may use it. */
  readonly access: string
}

function welcome({ url, data, seconds, note, access }: Welcome): string {
  return [
    `MoMA Mesh is ready at ${url} (${seconds} s); its data lie in ${data}. Ctrl-C ends it.`,
    access,
    ...(note ? [note] : []),
    '',
    `  curl ${url}/graphql -H 'content-type: application/json' \\`,
    `    -d '{"query":"{ capabilities { bundle sizePx defaults { steps } limits { count steps } } }"}'`,
    '',
    '',
  ].join('\n')
}

function accessSentence(mode: AuthMode, forThisMachine: boolean): string {
  const make = 'moma keys create --tenant me'
  if (mode === 'open') return 'It runs open, for every program on this machine.'
  if (mode === 'keys') return `Every operation needs an API key: ${make}`
  if (!forThisMachine) return 'It is reachable from other machines: every operation needs an API key.'
  return `It runs open, for programs on this machine alone, until there is an API key: ${make}`
}
