// The services' process of `moma start` for mesh.ts, which asks it over its channel when its networks ran.
import { computeNames } from '../../cli/serve/names.ts'
import { serve } from '../../cli/serve/serve.ts'
import { createNetworkPool } from '../../services/lib/runtime/pool.ts'
import { type NetworkRun, now, runsWanted } from './timed-runs.ts'

let runs: NetworkRun[] = []

const timedPool: typeof createNetworkPool = (options) => {
  const pool = createNetworkPool(options)
  return {
    ...pool,
    with: (recipe, use) =>
      pool.with(recipe, (network) =>
        use({
          ...network,
          async run(feeds) {
            const started = now()
            const results = await network.run(feeds)
            runs.push({ name: recipe.name, started, ended: now() })
            return results
          },
        }),
      ),
  }
}

process.on('message', (message) => {
  if (message !== runsWanted) return
  process.send!(runs)
  runs = []
})
await serve(['generation', ...computeNames], process.env, { createPool: timedPool })
