// What a mesh takes for a generation beside its networks, by stage, and how late its events are: npm run bench:mesh
// [-- --generations 20 --steps 8]. The services with networks run in this process, so that every run of a network and
// every event is timed by one clock; generation service and gateway are processes of their own, as with moma start.
// Writes a section of docs/performance.md with --write.
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { openCompute } from '../../cli/serve/compute.ts'
import { computeNames } from '../../cli/serve/names.ts'
import { freePorts } from '../../cli/start/ports.ts'
import { supervise } from '../../cli/start/supervisor.ts'
import { computeShape, readConfig } from '../../services/lib/mesh/config.ts'
import { startServer } from '../../services/lib/mesh/running.ts'
import { createNetworkPool } from '../../services/lib/runtime/pool.ts'
import { readSafetyConfig } from '../../services/safety/config.ts'
import { createMeshHttpClient } from '../mesh/client.ts'
import { createGeneration, createSubject, getGeneration } from '../mesh/operations.ts'
import { writeSection } from './section.ts'

const { values: options } = parseArgs({
  options: {
    generations: { type: 'string', default: '20' },
    steps: { type: 'string', default: '8' },
    write: { type: 'boolean', default: false },
  },
})
const steps = Number(options.steps)
const warmUps = 3

/** One run of a network, of performance.now(). */
interface NetworkRun {
  readonly name: string
  readonly started: number
  readonly ended: number
}

const stages = ['REVIEW_INPUT', 'VISION', 'CONTEXT', 'DENOISE', 'REVIEW_OUTPUT', 'STORE'] as const
const stageOf = (network: string) =>
  ({ 'patch features': 'VISION', 'image embedding': 'VISION', 'multimodal decoder': 'CONTEXT' })[network] ?? 'DENOISE'

const runs: NetworkRun[] = []
const timedPool: typeof createNetworkPool = (poolOptions) => {
  const pool = createNetworkPool(poolOptions)
  return {
    ...pool,
    with: (recipe, use) =>
      pool.with(recipe, (network) =>
        use({
          ...network,
          async run(feeds) {
            const started = performance.now()
            const results = await network.run(feeds)
            runs.push({ name: recipe.name, started, ended: performance.now() })
            return results
          },
        }),
      ),
  }
}

await using opened = new AsyncDisposableStack()
const url = await startMesh()
const client = opened.use(createMeshHttpClient(url))
const subjectId = await createSubject(client)
const own: Record<string, number[]> = {}
const delays: number[] = []
for (let index = -warmUps; index < Number(options.generations); index++) {
  const measured = await measure(index)
  if (index < 0) continue
  for (const [name, ms] of Object.entries(measured.own)) own[name] = [...(own[name] ?? []), ms]
  delays.push(...measured.delays)
}
const section = report()
console.log(section)
if (options.write) writeSection(section)

/** Services with networks here, generation and gateway in processes of their own; resolves with the gateway's address. */
async function startMesh(): Promise<string> {
  const data = mkdtempSync(join(tmpdir(), 'moma-bench-'))
  opened.defer(() => rmSync(data, { recursive: true, force: true }))
  const [port] = await freePorts(1)
  const variables = { ...process.env, MOMA_BUNDLE: 'moma-toy', LOG_LEVEL: 'warn', MOMA_DATA: data }
  const config = readConfig(computeShape, variables)
  const compute = await startServer({ ...config, MOMA_LISTEN: { host: '127.0.0.1', port: 0 } }, (surroundings) =>
    openCompute(computeNames, config, surroundings, readSafetyConfig(variables, data), timedPool),
  )
  opened.defer(() => compute.drain())
  const [generation] = (await freePorts(1)).map((free) => `127.0.0.1:${free}`)
  const program = fileURLToPath(new URL('../../cli/moma.ts', import.meta.url))
  const member = (name: string, env: NodeJS.ProcessEnv) => ({
    name,
    command: [process.execPath, program, 'serve', name],
    env: { ...variables, ...env },
  })
  const at = Object.fromEntries(computeNames.map((name) => [`MOMA_${name.toUpperCase()}`, compute.address]))
  const tree = supervise(
    [
      member('generation', { ...at, MOMA_LISTEN: generation }),
      member('gateway', { HOST: '127.0.0.1', PORT: `${port}`, MOMA_GENERATION: generation }),
    ],
    { drainMs: 5000, onLine: (name, line) => process.stderr.write(`${name}: ${line}\n`) },
  )
  opened.defer(() => tree.end())
  await tree.ready()
  return `http://127.0.0.1:${port}`
}

/** One generation with a prompt of its own, as its client sees it. */
async function measure(index: number) {
  runs.length = 0
  const asked = performance.now()
  const id = await createGeneration(client, { subjectId, prompt: `a toy, picture ${index + warmUps}`, steps, seed: 7 })
  const seenAt = new Map<number, number>()
  for await (const { step } of client.watch(id, 'ws')) if (!seenAt.has(step)) seenAt.set(step, performance.now())
  const wallMs = performance.now() - asked
  const generation = (await getGeneration(client, id))!
  if (generation.status !== 'SUCCEEDED') throw new Error(`generation ${id} is ${generation.status}`)

  const networkMs = (stage: string) =>
    runs.filter(({ name }) => stageOf(name) === stage).reduce((sum, { started, ended }) => sum + ended - started, 0)
  const timings = new Map(generation.timings.map(({ stage, ms }) => [stage, ms]))
  const byStage = Object.fromEntries(stages.map((stage) => [stage, (timings.get(stage) ?? 0) - networkMs(stage)]))
  const inStages = [...timings.values()].reduce((sum, ms) => sum + ms, 0)
  const inNetworks = stages.reduce((sum, stage) => sum + networkMs(stage), 0)
  return {
    own: { ...byStage, 'before and after': wallMs - inStages, whole: wallMs - inNetworks, networks: inNetworks },
    // The step was done when its network was; a snapshot that was left out is no event.
    delays: runs
      .filter(({ name }) => name === 'UNet, step')
      .flatMap(({ ended }, step) => (seenAt.has(step + 1) ? [seenAt.get(step + 1)! - ended] : [])),
  }
}

function report(): string {
  const at = (numbers: readonly number[], share: number) => {
    const sorted = numbers.toSorted((a, b) => a - b)
    return (sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)] ?? Number.NaN).toFixed(1)
  }
  const rows = Object.entries(own).map(([name, ms]) => `| ${name} | ${at(ms, 0.5)} | ${at(ms, 0.95)} |`)
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor'
  return [
    '## The mesh beside its networks',
    '',
    `${processor}, ${availableParallelism()} threads; embedded database and queues, toy bundle, ${options.generations} generations of ` +
      `${steps} steps, each with a prompt of its own. Milliseconds of one generation without the runs of networks, as its`,
    'client sees it over HTTP and WebSocket.',
    '',
    '| stage | median | 95 % |',
    '|---|---|---|',
    ...rows,
    '',
    `- From the end of a step's network to the event at a WebSocket subscriber: ${at(delays, 0.5)} ms (median), ${at(delays, 0.99)} ms (99 %), ${delays.length} events.`,
    '',
    'Made by `npm run bench:mesh -- --write`.',
    '',
  ].join('\n')
}
