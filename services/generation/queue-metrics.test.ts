import { Registry } from 'prom-client'
import { databaseKinds } from './db/test-database.ts'
import { defaultLimits } from './limits.ts'
import { createQueueMetrics } from './queue-metrics.ts'
import { sweepOnce } from './sweep.ts'
import { openWorld } from './test-world.ts'

test.each(databaseKinds)('over %s, the sweep shows how many wait, and for how long', async (kind) => {
  await using world = await openWorld(kind)
  const registry = new Registry()
  const metrics = createQueueMetrics(registry, world.now)
  const shown = async () => {
    const values = (await registry.getMetricsAsJSON()).map(({ name, values: [first] }) => [name, first!.value])
    return values.map(([name, value]) => [name, Math.round(Number(value))])
  }
  const queued = (count: number, seconds: number) => [
    ['moma_generations_queued', count],
    ['moma_generations_oldest_wait_seconds', seconds],
  ]
  const sweep = () => sweepOnce({ ...world, limits: defaultLimits, metrics })
  await sweep()
  expect(await shown()).toEqual(queued(0, 0))

  const subject = await world.addSubject('tenant')
  const first = await world.addGeneration(subject)
  world.advance(90_000)
  await world.addGeneration(subject)
  await world.addGeneration(subject, { status: 'RUNNING' })
  await sweep()
  expect(await shown()).toEqual(queued(2, 90))
  // Without another sweep too.
  world.advance(60_000)
  expect(await shown()).toEqual(queued(2, 150))

  await world.runStore.begin(first.id)
  await sweep()
  expect(await shown()).toEqual(queued(1, 60))
})
