// What a mesh takes for a generation beside its networks, by stage, and how late its events are: npm run bench:mesh
// [-- --generations 20 --between 60 --steps 8]. All services run in one process and the gateway in another, as with moma
// start; runs of networks there and events here are timed by one clock. As many generations are measured soon after the
// start and, others between them, once V8 has optimised what runs for each; then as many refusals of a label and of a
// prompt. Writes a section of docs/performance.md with --write.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { freePorts } from '../../cli/start/ports.ts'
import { readyMessage, supervise } from '../../cli/start/supervisor.ts'
import { rehearsalPhoto } from '../../services/lib/rehearsal/photo.ts'
import { createMeshHttpClient } from '../mesh/client.ts'
import { askForSubject, createGeneration, createSubject, getGeneration } from '../mesh/operations.ts'
import { writeSection } from './section.ts'
import { type NetworkRun, now, runsWanted, unionMs } from './timed-runs.ts'

const { values: options } = parseArgs({
  options: {
    generations: { type: 'string', default: '20' },
    between: { type: 'string', default: '60' },
    steps: { type: 'string', default: '8' },
    write: { type: 'boolean', default: false },
  },
})
const steps = Number(options.steps)
const count = Number(options.generations)
const warmUps = 3

const stages = ['REVIEW_INPUT', 'VISION', 'CONTEXT', 'DENOISE', 'REVIEW_OUTPUT', 'STORE'] as const
const stageOf = (network: string) =>
  ({ 'patch features': 'VISION', 'image embedding': 'VISION', 'multimodal decoder': 'CONTEXT' })[network] ?? 'DENOISE'

await using opened = new AsyncDisposableStack()
const { url, takeRuns } = await startMesh()
const client = opened.use(createMeshHttpClient(url))
const subjectId = await createSubject(client)
let asked = 0
await several(warmUps)
const soon = await several(count)
await several(Number(options.between))
const later = await several(count)
const refused = { label: await refusals(refuseLabel), prompt: await refusals(refusePrompt) }
const section = report()
console.log(section)
if (options.write) writeSection(section)

/** Resolves with the gateway's address, and what asks for the runs of networks since it was asked last. */
async function startMesh() {
  const data = mkdtempSync(join(tmpdir(), 'moma-bench-'))
  opened.defer(() => rmSync(data, { recursive: true, force: true }))
  const ports = await freePorts(2)
  const [generation, gateway] = ports.map((port) => `127.0.0.1:${port}`)
  const variables = { ...process.env, MOMA_BUNDLE: 'moma-toy', LOG_LEVEL: 'warn', MOMA_DATA: data }
  const program = (path: string) => fileURLToPath(new URL(path, import.meta.url))
  const services = fork(program('timed-services.ts'), { env: { ...variables, MOMA_LISTEN: generation } })
  opened.defer(async () => {
    services.kill('SIGTERM')
    await once(services, 'exit')
  })
  const ready = new Promise<void>((resolve) =>
    services.on('message', (message) => message === readyMessage() && resolve()),
  )
  const tree = supervise(
    [
      {
        name: 'gateway',
        command: [process.execPath, program('../../cli/moma.ts'), 'serve', 'gateway'],
        env: { ...variables, HOST: '127.0.0.1', PORT: `${ports[1]}`, MOMA_GENERATION: generation },
      },
    ],
    { drainMs: 5000, onLine: (name, line) => process.stderr.write(`${name}: ${line}\n`) },
  )
  opened.defer(() => tree.end())
  await Promise.all([ready, tree.ready()])
  const takeRuns = async (): Promise<NetworkRun[]> => {
    services.send(runsWanted)
    const [taken] = await once(services, 'message')
    return taken
  }
  return { url: `http://${gateway}`, takeRuns }
}

/** So many generations, one after another. */
async function several(wanted: number) {
  const own: Record<string, number[]> = {}
  const delays: number[] = []
  for (let index = 0; index < wanted; index++) {
    const measured = await measure(`a toy, picture ${asked++}`)
    for (const [name, ms] of Object.entries(measured.own)) own[name] = [...(own[name] ?? []), ms]
    delays.push(...measured.delays)
  }
  return { own, delays }
}

/** One generation as its client sees it; a prompt of its own leaves nothing to the caches but what is seen in the photo. */
async function measure(prompt: string) {
  await takeRuns()
  const began = now()
  const id = await createGeneration(client, { subjectId, prompt, steps, seed: 7 })
  const seenAt = new Map<number, number>()
  for await (const { step } of client.watch(id, 'ws')) if (!seenAt.has(step)) seenAt.set(step, now())
  const wallMs = now() - began
  const runs = await takeRuns()
  const generation = (await getGeneration(client, id))!
  if (generation.status !== 'SUCCEEDED') throw new Error(`generation ${id} is ${generation.status}`)

  const networkMs = (stage: string) => unionMs(runs.filter(({ name }) => stageOf(name) === stage))
  const timings = new Map(generation.timings.map(({ stage, ms }) => [stage, ms]))
  const byStage = Object.fromEntries(stages.map((stage) => [stage, (timings.get(stage) ?? 0) - networkMs(stage)]))
  const inStages = [...timings.values()].reduce((sum, ms) => sum + ms, 0)
  const inNetworks = unionMs(runs)
  return {
    own: { ...byStage, 'before and after': wallMs - inStages, whole: wallMs - inNetworks, networks: inNetworks },
    // The step was done when its network was; a snapshot that was left out is no event.
    delays: runs
      .filter(({ name }) => name === 'UNet, step')
      .flatMap(({ ended }, step) => (seenAt.has(step + 1) ? [seenAt.get(step + 1)! - ended] : [])),
  }
}

/** So many refusals: how long each took as its client sees it, and how often networks ran for all of them. */
async function refusals(refuse: () => Promise<number>) {
  await takeRuns()
  const ms: number[] = []
  for (let index = 0; index < count; index++) ms.push(await refuse())
  return { ms, runs: (await takeRuns()).length }
}

/** Of a photo that segmentation would have to find the subject in; its upload is not counted. */
async function refuseLabel(): Promise<number> {
  const { photo } = await rehearsalPhoto()
  const uploadId = await client.upload(photo, 'image/png')
  const began = now()
  const { __typename } = await askForSubject(client, { uploadId, label: 'man' })
  const ms = now() - began
  if (__typename !== 'PersonSubjectRejected') throw new Error(`the label was answered with ${__typename}`)
  return ms
}

async function refusePrompt(): Promise<number> {
  const began = now()
  const id = await createGeneration(client, { subjectId, prompt: `a toy beside a woman, picture ${asked++}`, steps })
  let last = ''
  for await (const { status } of client.watch(id, 'ws')) last = status
  const ms = now() - began
  if (last !== 'REJECTED') throw new Error(`generation ${id} is ${last}`)
  return ms
}

function report(): string {
  const at = (numbers: readonly number[], share: number) => {
    const sorted = numbers.toSorted((a, b) => a - b)
    return (sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)] ?? Number.NaN).toFixed(1)
  }
  const both = (numbers: readonly number[] = []) => `${at(numbers, 0.5)} | ${at(numbers, 0.95)}`
  const rows = Object.keys(soon.own).map((name) => `| ${name} | ${both(soon.own[name])} | ${both(later.own[name])} |`)
  const { delays } = later
  const processor = cpus()[0]?.model.trim() ?? 'unknown processor'
  return [
    '## The mesh beside its networks',
    '',
    `${processor}, ${availableParallelism()} threads; embedded database and queues, toy bundle, generations of ` +
      `${steps} steps, each with a prompt of its own. Milliseconds of one generation without the runs of networks, as its`,
    `client sees it over HTTP and WebSocket: of ${count} soon after the start, the ${warmUps} before them left out, and of`,
    `${count} after ${options.between} more, when V8 has optimised what runs for each.`,
    '',
    '| stage | soon, median | 95 % | later, median | 95 % |',
    '|---|---|---|---|---|',
    ...rows,
    '',
    `- From the end of a step's network to the event at a WebSocket subscriber, later: ${at(delays, 0.5)} ms (median), ${at(delays, 0.99)} ms (99 %), ${delays.length} events.`,
    ...Object.entries(refused).map(
      ([what, { ms, runs }]) =>
        `- From a request whose ${what} names a person to its refusal: ${at(ms, 0.5)} ms (median), ${at(ms, 0.95)} ms (95 %); networks ran ${runs} times for ${ms.length} of them.`,
    ),
    '',
    'Made by `npm run bench:mesh -- --write`.',
    '',
  ].join('\n')
}
