import type { Network } from './network.ts'
import { createNetworkPool, type NetworkPool, type PoolOptions } from './pool.ts'

/** What one network has cost so far. */
export interface NetworkCost {
  readonly name: string
  readonly weightBytes: number
  readonly loads: number
  readonly loadMs: number
  readonly runs: number
  /** Of all runs together. */
  readonly runMs: number
  readonly fastestRunMs: number
  /** Most memory that the whole process had resident after a load or a run of this network. */
  readonly residentBytes: number
}

export interface MeasuredPool extends NetworkPool {
  /** By network, in the order of first use. */
  readonly costs: readonly NetworkCost[]
}

/** A pool that keeps account of time and memory by network. */
export function createMeasuredPool(options: PoolOptions): MeasuredPool {
  const costs = new Map<string, NetworkCost>()
  const add = (name: string, change: (cost: NetworkCost) => Partial<NetworkCost>) => {
    const cost = costs.get(name) ?? emptyCost(name)
    const residentBytes = Math.max(cost.residentBytes, process.memoryUsage.rss())
    costs.set(name, { ...cost, residentBytes, ...change(cost) })
  }
  const pool = createNetworkPool({
    ...options,
    onLoad: (event) => {
      const { name, weightBytes, elapsedMs } = event
      add(name, ({ loads, loadMs }) => ({ weightBytes, loads: loads + 1, loadMs: loadMs + elapsedMs }))
      options.onLoad?.(event)
    },
  })
  const measured = (network: Network): Network => ({
    ...network,
    async run(feeds) {
      const started = performance.now()
      const results = await network.run(feeds)
      const ms = performance.now() - started
      add(network.name, ({ runs, runMs, fastestRunMs }) => ({
        runs: runs + 1,
        runMs: runMs + ms,
        fastestRunMs: Math.min(fastestRunMs, ms),
      }))
      return results
    },
  })
  return {
    with: (recipe, use) => pool.with(recipe, (network) => use(measured(network))),
    prepare: (recipes) => pool.prepare(recipes),
    onLost: (listener) => pool.onLost(listener),
    dispose: () => pool.dispose(),
    get loaded() {
      return pool.loaded
    },
    get loadedBytes() {
      return pool.loadedBytes
    },
    get costs() {
      return [...costs.values()]
    },
  }
}

function emptyCost(name: string): NetworkCost {
  return {
    name,
    weightBytes: 0,
    loads: 0,
    loadMs: 0,
    runs: 0,
    runMs: 0,
    fastestRunMs: Number.POSITIVE_INFINITY,
    residentBytes: 0,
  }
}
