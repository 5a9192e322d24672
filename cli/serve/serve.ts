import { setTimeout as sleep } from 'node:timers/promises'
import { addressSetting, ConfigError, computeShape, readConfig, serverShape } from '../../services/lib/mesh/config.ts'
import { type Running, startServer } from '../../services/lib/mesh/running.ts'
import type { MeshService } from '../../services/lib/mesh/service.ts'
import { readSafetyConfig } from '../../services/safety/config.ts'
import { dataFolder } from '../start/data.ts'
import { readyMessage } from '../start/supervisor.ts'
import { leave, listenForEnd } from './ending.ts'
import type { HostedGeneration } from './generation.ts'
import { defaultAddress, isComputeName, isServiceName, type ServiceName, serviceNames } from './names.ts'

/** How often a process that has just started looks whether it is ready. */
const askEveryMs = 50

/** A server that listens, and when it can do its work. */
export interface Started extends Pick<Running, 'drain'> {
  readonly ready: Promise<void>
}

/**
 * Runs services, or the gateway, until the process is told to end. A parent with a channel to this process is told once
 * they are ready. Throws a ConfigError on a name or variable that is not allowed, before anything is opened.
 */
export async function serve(names: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const ending = listenForEnd()
  const started = await open([...new Set(names)], env)
  void started.ready.then(() => process.connected && process.send?.(readyMessage))
  await ending.asked
  await started.drain()
  leave(0)
}

async function open(names: readonly string[], env: NodeJS.ProcessEnv): Promise<Started> {
  if (names.includes('gateway')) {
    if (names.length > 1) throw new ConfigError('The gateway is served alone; allowed: moma serve gateway.')
    const { openGateway } = await import('./gateway.ts')
    return openGateway(env)
  }
  const services = names.map((name): ServiceName => {
    if (isServiceName(name)) return name
    throw new ConfigError(`The service is ${JSON.stringify(name)}; allowed: ${serviceNames.join(', ')}, gateway.`)
  })
  return openServices(services, env)
}

async function openServices(names: readonly ServiceName[], env: NodeJS.ProcessEnv): Promise<Started> {
  const listen = { MOMA_LISTEN: addressSetting.default(defaultAddress(names[0]!)) }
  const config = readConfig({ ...serverShape, ...listen }, env)
  const compute = names.filter(isComputeName)
  const computeConfig = compute.length > 0 ? readConfig(computeShape, env) : null
  const safetyConfig = compute.includes('safety') ? readSafetyConfig(env, dataFolder(env)) : null
  const generation = names.includes('generation') ? await import('./generation.ts') : null
  const generationConfig = generation?.readGenerationConfig(env, compute, config.MOMA_LISTEN)

  const services: MeshService[] = []
  let record: HostedGeneration | undefined
  const running = await startServer(config, async (surroundings) => {
    await using opened = new AsyncDisposableStack()
    if (computeConfig) {
      const { openCompute } = await import('./compute.ts')
      const hosted = await openCompute(compute, computeConfig, surroundings, safetyConfig)
      opened.defer(() => hosted.dispose())
      services.push(...hosted.services)
    }
    if (generation && generationConfig) {
      record = await generation.openGeneration(generationConfig, surroundings)
      opened.defer(() => record?.dispose())
      services.push(...record.services)
    }
    const kept = opened.move()
    return { services, dispose: () => kept.disposeAsync() }
  })
  const isReady = () => services.every(({ readiness }) => readiness.ready)
  return {
    ready: until(isReady),
    async drain() {
      await Promise.all([record?.finish(), running.drain()])
    },
  }
}

/** Readiness and connections come about at different places; a parent that waits for both can wait a little longer. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(askEveryMs, undefined, { ref: false })
}
