import { setTimeout as sleep } from 'node:timers/promises'
import { formatAddress } from '../services/lib/mesh/address.ts'
import { silentLogger } from '../services/lib/mesh/log.ts'
import { createMetrics, type Metrics } from '../services/lib/mesh/metrics.ts'
import { readGatewayConfig } from './config.ts'
import { startGateway } from './open.ts'
import { serveTestGeneration, type TestGeneration } from './test-generation.ts'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects out of any result
  readonly data?: any
  readonly errors?: readonly { message: string; path?: readonly unknown[]; extensions: Record<string, unknown> }[]
}

/** A gateway over a generation service in memory, both on loopback. */
export interface TestGateway extends AsyncDisposable {
  readonly generation: TestGeneration
  /** Such as http://127.0.0.1:41234. */
  readonly url: string
  readonly metrics: Metrics
  /** A query or mutation over HTTP. */
  ask(query: string, variables?: object, headers?: Record<string, string>): Promise<Answer>
  drain(): Promise<void>
  dispose(): Promise<void>
}

/** `prepare` is called with the generation service before the gateway asks it anything. */
export async function openTestGateway(
  env: NodeJS.ProcessEnv = {},
  prepare: (generation: TestGeneration) => void = () => undefined,
): Promise<TestGateway> {
  const generation = await serveTestGeneration()
  prepare(generation)
  const metrics = createMetrics()
  const start = async () => {
    const own = { PORT: '0', MOMA_GENERATION: formatAddress(generation.address), MOMA_DRAIN_MS: '2000' }
    return startGateway(readGatewayConfig({ ...own, ...env }), { log: silentLogger, metrics })
  }
  const gateway = await start().catch(async (error) => {
    await generation.dispose()
    throw error
  })
  const url = `http://${gateway.address}`
  const dispose = async () => {
    await gateway.drain()
    await generation.dispose()
  }
  return {
    generation,
    url,
    metrics,
    async ask(query, variables = {}, headers = {}) {
      const response = await fetch(`${url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ query, variables }),
      })
      const body = (await response.json()) as Pick<Answer, 'data' | 'errors'>
      return { status: response.status, headers: response.headers, ...body }
    },
    drain: () => gateway.drain(),
    dispose,
    [Symbol.asyncDispose]: dispose,
  }
}

/** Resolves once it has come about. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  for (const end = performance.now() + timeoutMs; !(await condition()); await sleep(5)) {
    if (performance.now() > end) throw new Error('it did not come about')
  }
}
