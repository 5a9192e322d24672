import { addressSetting, ConfigError, computeShape, readConfig, serverShape } from '../../services/lib/mesh/config.ts'
import { type Running, startServer } from '../../services/lib/mesh/running.ts'
import type { MeshService } from '../../services/lib/mesh/service.ts'
import { readyMessage } from '../start/supervisor.ts'
import { leave, listenForEnd } from './ending.ts'
import { defaultAddress, isComputeName, isServiceName, type ServiceName, serviceNames } from './names.ts'

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
  const generation = names.includes('generation') ? await import('./generation.ts') : null
  const generationConfig = generation?.readGenerationConfig(env, compute, config.MOMA_LISTEN)

  const services: MeshService[] = []
  const running = await startServer(config, async (surroundings) => {
    await using opened = new AsyncDisposableStack()
    if (computeConfig) {
      const { openCompute } = await import('./compute.ts')
      const hosted = await openCompute(compute, computeConfig, surroundings)
      opened.defer(() => hosted.dispose())
      services.push(...hosted.services)
    }
    if (generation && generationConfig) {
      const hosted = await generation.openGeneration(generationConfig, surroundings)
      opened.defer(() => hosted.dispose())
      services.push(...hosted.services)
    }
    const kept = opened.move()
    return { services, dispose: () => kept.disposeAsync() }
  })
  return { ready: allReady(services), drain: () => running.drain() }
}

function allReady(services: readonly MeshService[]): Promise<void> {
  return new Promise((resolve) => {
    const stops = services.map(({ readiness }) => readiness.onChange(look))
    function look() {
      if (!services.every(({ readiness }) => readiness.ready)) return
      for (const stop of stops) stop()
      resolve()
    }
    look()
  })
}
