import { setTimeout as sleep } from 'node:timers/promises'
import type { Address } from '../../services/lib/mesh/address.ts'
import { addressSetting, ConfigError, computeShape, readConfig, serverShape } from '../../services/lib/mesh/config.ts'
import { createLocalCalls } from '../../services/lib/mesh/local-calls.ts'
import { type Running, type Surroundings, startServer } from '../../services/lib/mesh/running.ts'
import type { MeshService } from '../../services/lib/mesh/service.ts'
import type { createNetworkPool } from '../../services/lib/runtime/pool.ts'
import { readSafetyConfig } from '../../services/safety/config.ts'
import { exitCodes } from '../codes.ts'
import { dataFolder } from '../start/data.ts'
import { readyMessage } from '../start/supervisor.ts'
import { leave, listenForEnd } from './ending.ts'
import type { HostedGeneration } from './generation.ts'
import { type Later, openLater } from './late.ts'
import { defaultAddress, isComputeName, isServiceName, type ServiceName, serviceNames } from './names.ts'
import { requireSight } from './strangers.ts'

/** How often a process that has just started looks whether it is ready. */
const askEveryMs = 50

/** How long a process with a fault may take to let go of what it has: a thread inside a broken driver may never do so. */
const faultDrainMs = 60_000

/** A server that listens, and when it can do its work. */
export interface Started extends Pick<Running, 'drain'> {
  readonly ready: Promise<void>
  /** Of services that are ready before all are, by name. */
  readonly readyParts?: Readonly<Record<string, Promise<void>>>
  /** Throws when what was to be opened after the start can't be, or can't serve any more. */
  readonly failed?: Promise<never> | undefined
}

export interface ServeOptions {
  /** Beside a generation service, services with networks are opened when this has settled. */
  readonly opensNetworks?: Promise<unknown>
  readonly createPool?: typeof createNetworkPool
}

/**
 * Runs services, or the gateway, until the process is told to end. A parent with a channel to this process is told once
 * they are ready. Throws a ConfigError on a name or variable that is not allowed, before anything is opened.
 */
export async function serve(
  names: readonly string[],
  env: NodeJS.ProcessEnv,
  options: ServeOptions = {},
): Promise<void> {
  const ending = listenForEnd()
  const started = await open([...new Set(names)], env, options).catch((error: unknown) => {
    // A parent's channel would keep a process that has nothing to do, and the parent would wait for it.
    leave(exitCodes.fault)
    throw error
  })
  const tell = (part?: string) => process.connected && process.send?.(readyMessage(part))
  for (const [part, ready] of Object.entries(started.readyParts ?? {})) void ready.then(() => tell(part))
  void started.ready.then(() => tell())
  try {
    await Promise.race([ending.asked, ...(started.failed ? [started.failed] : [])])
  } catch (error) {
    await Promise.race([started.drain(), sleep(faultDrainMs)])
    leave(exitCodes.fault)
    throw error
  }
  await started.drain()
  leave(0)
}

async function open(names: readonly string[], env: NodeJS.ProcessEnv, options: ServeOptions): Promise<Started> {
  if (names.includes('gateway')) {
    if (names.length > 1) throw new ConfigError('The gateway is served alone; allowed: moma serve gateway.')
    const { openGateway } = await import('./gateway.ts')
    return openGateway(env)
  }
  const services = names.map((name): ServiceName => {
    if (isServiceName(name)) return name
    throw new ConfigError(`The service is ${JSON.stringify(name)}; allowed: ${serviceNames.join(', ')}, gateway.`)
  })
  return openServices(services, env, options)
}

/** Opens services, which reach each other without a network where the environment names no address for them. */
export async function openServices(
  names: readonly ServiceName[],
  env: NodeJS.ProcessEnv,
  { opensNetworks, createPool }: ServeOptions = {},
): Promise<Started> {
  const config = readConfig(serverShape, env)
  const addresses = listenAddresses(names, env)
  const compute = names.filter(isComputeName)
  const computeConfig = compute.length > 0 ? readConfig(computeShape, env) : null
  const safetyConfig = compute.includes('safety') ? readSafetyConfig(env, dataFolder(env)) : null
  if (safetyConfig && computeConfig) await requireSight(env, computeConfig.MOMA_BUNDLE, addresses)
  const generation = names.includes('generation') ? await import('./generation.ts') : null
  const generationConfig = generation?.readGenerationConfig(env, compute)

  const local = createLocalCalls()
  const openCompute = async (surroundings: Surroundings) => {
    const opener = await import('./compute.ts')
    return opener.openCompute(compute, computeConfig!, surroundings, safetyConfig, createPool)
  }
  let later: Later | undefined
  let failed: Promise<never> | undefined
  let record: HostedGeneration | undefined
  const services: MeshService[] = []
  const running = await startServer(
    config,
    addresses,
    async (surroundings) => {
      await using opened = new AsyncDisposableStack()
      if (computeConfig && generation) {
        // Whoever asks for a picture finds the record there first; pictures wait for networks anyhow.
        later = openLater(compute, () => openCompute(surroundings))
        opened.use(later)
        failed = later.failed
        services.push(...later.services)
      } else if (computeConfig) {
        const hosted = await openCompute(surroundings)
        failed = hosted.failed
        opened.defer(() => hosted.dispose())
        services.push(...hosted.services)
      }
      if (generation && generationConfig) {
        record = await generation.openGeneration(generationConfig, surroundings, local)
        opened.defer(() => record?.dispose())
        failed = Promise.race([failed, record.failed].filter((one) => one !== undefined))
        failed.catch(() => undefined)
        services.push(...record.services)
      }
      const kept = opened.move()
      return { services, finish: record?.finish, dispose: () => kept.disposeAsync() }
    },
    local,
  )
  void Promise.resolve(opensNetworks).then(() => later?.open())
  const ready = (of: readonly MeshService[]) => until(() => of.every(({ readiness }) => readiness.ready))
  return {
    ready: ready(services),
    readyParts: record && later ? { generation: ready(record.services) } : {},
    failed,
    drain: () => running.drain(),
  }
}

/** Where services of one process listen: at MOMA_LISTEN, or where each of them is looked for when nothing is said. */
export function listenAddresses(names: readonly ServiceName[], env: NodeJS.ProcessEnv): readonly Address[] {
  const { MOMA_LISTEN: address } = readConfig({ MOMA_LISTEN: addressSetting.optional() }, env)
  return address ? [address] : names.map(defaultAddress)
}

/** Readiness and connections come about at different places; a parent that waits for both can wait a little longer. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(askEveryMs, undefined, { ref: false })
}
