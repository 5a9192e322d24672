import { setTimeout as sleep } from 'node:timers/promises'
import { readGatewayConfig } from '../../gateway/config.ts'
import { startGateway } from '../../gateway/open.ts'
import { formatAddress } from '../../services/lib/mesh/address.ts'
import { gatewayIsReady } from '../health.ts'
import { listenFault } from '../start/ports.ts'
import { defaultAddress } from './names.ts'
import type { Started } from './serve.ts'

/** How often a gateway that has just started is asked whether it has found the generation service. */
const askEveryMs = 50

/** Starts the gateway; it is ready when it has found a generation service. Throws a ConfigError on a wrong variable. */
export async function openGateway(env: NodeJS.ProcessEnv): Promise<Started> {
  const generation = env.MOMA_GENERATION || formatAddress(defaultAddress('generation'))
  const config = readGatewayConfig({ ...env, MOMA_GENERATION: generation })
  const running = await startGateway(config).catch((error: unknown) => {
    throw listenFault(error, config.HOST, config.PORT) ?? error
  })
  const ended = new AbortController()
  const becomeReady = async () => {
    while (!ended.signal.aborted && !(await gatewayIsReady(`http://${running.address}`))) {
      await sleep(askEveryMs, undefined, { ref: false })
    }
  }
  return {
    ready: becomeReady(),
    drain() {
      ended.abort()
      return running.drain()
    },
  }
}
