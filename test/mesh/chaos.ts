// npm run chaos -- --kills 50 --seed 1 [--mode embedded|servers] [--outage nats|postgres|both]
//
// Runs generations without a pause while processes of the mesh are killed at random moments (SIGKILL), and with --outage
// while NATS or PostgreSQL are away for half a minute. In the end every generation that was accepted must have
// succeeded, once, with the bytes of an undisturbed run. Exit code 1 when anything is otherwise.
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startNatsServer } from '../nats.ts'
import { findPostgres, startPostgres } from '../postgres.ts'
import { createRandom } from './chaos/random.ts'
import { startEmbedded, startOnServers, type Topology } from './chaos/topology.ts'
import { type Accepted, createWork } from './chaos/work.ts'
import { createMeshHttpClient } from './client.ts'

const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    mode: { type: 'string', default: 'embedded' },
    outage: { type: 'string' },
    /** Generations under way at a time. */
    clients: { type: 'string', default: '2' },
    /** The whole may take so long. */
    minutes: { type: 'string', default: '30' },
  },
})
const kills = Number(options.kills)
const random = createRandom(Number(options.seed))

/** Seeds that are drawn over and over. */
const seeds = [11, 12, 13]
const outageMs = 30_000
/** Kills without a generation that ends in between: five attempts that get no further end one, and rightly so. */
const maxKillsInARow = 3
/** Longest wait for a mesh to be whole after a kill, and for all work to end after the last. */
const recoveryMs = 90_000

interface Server {
  readonly name: string
  stop(): unknown
  start(): unknown
}

await using opened = new AsyncDisposableStack()
const servers: Server[] = []
const topology = await startTopology()
const deadline = AbortSignal.timeout(Number(options.minutes) * 60_000)
const stopped = new AbortController()
const client = opened.use(createMeshHttpClient(topology.url))
const work = createWork(client, AbortSignal.any([deadline, stopped.signal]))
const violations: string[] = []
const started = performance.now()
const log = (text: string) => console.log(`${((performance.now() - started) / 1000).toFixed(1).padStart(7)} s  ${text}`)

const subjectId = await work.subject('the subject')
const expected = await undisturbed()
log(`drew ${seeds.length} pictures undisturbed`)

let calm = false
let completed = 0
const accepted: Accepted[] = []
const clients = Array.from({ length: Number(options.clients) }, (_, index) => keepDrawing(index))
const { killed, recoveries } = await torment()
calm = true
await Promise.race([Promise.all(clients), failAfter(recoveryMs, 'the last generations did not end in time')])
await check()
stopped.abort()
report()

async function startTopology(): Promise<Topology> {
  if (options.mode === 'embedded') {
    if (options.outage) throw new RangeError('--outage needs --mode servers')
    return opened.use(await startEmbedded())
  }
  if (options.mode !== 'servers') throw new RangeError(`--mode is ${options.mode}, allowed is embedded or servers`)
  const bin = findPostgres()
  if (!bin) throw new Error('--mode servers needs nats-server and PostgreSQL')
  const nats = opened.use(await startNatsServer())
  const postgres = opened.use(await startPostgres(bin))
  servers.push({ name: 'nats', stop: () => nats.stop(), start: () => nats.start() }, { name: 'postgres', ...postgres })
  return opened.use(await startOnServers({ NATS_URL: nats.url, DATABASE_URL: postgres.url }))
}

/** What each seed's pictures are. */
async function undisturbed(): Promise<ReadonlyMap<number, string>> {
  const pictures = new Map<number, string>()
  for (const seed of seeds) {
    const { id } = await work.generation(subjectId, `undisturbed ${seed}`, seed)
    await work.untilEnded(id)
    pictures.set(seed, (await work.pictures((await work.get(id))!)).join())
  }
  return pictures
}

async function keepDrawing(index: number): Promise<void> {
  for (let count = 0; !calm; count++) {
    const seed = seeds[Math.floor(random() * seeds.length)]!
    const one = await work.generation(subjectId, `client ${index}, ${count}`, seed)
    accepted.push(one)
    await work.untilEnded(one.id)
    completed++
  }
}

async function torment() {
  const killed: Record<string, number> = {}
  const recoveries: number[] = []
  const outage = options.outage ? away(options.outage) : Promise.resolve()
  let seen = { completed, kills: 0 }
  for (let done = 0; done < kills; ) {
    deadline.throwIfAborted()
    await sleep(200 + 3000 * random())
    if (completed > seen.completed) seen = { completed, kills: done }
    if (done - seen.kills >= maxKillsInARow) continue
    const victim = topology.victims[Math.floor(random() * topology.victims.length)]!
    if (!(await topology.kill(victim))) continue
    done++
    killed[victim] = (killed[victim] ?? 0) + 1
    log(`kill ${done} of ${kills}: ${victim}; ${accepted.length} generations accepted`)
    // Now and then the next one falls while this one has not recovered.
    if (random() < 0.2) continue
    const since = performance.now()
    if (await becomesWhole()) recoveries.push(performance.now() - since)
    else violations.push(`not whole ${recoveryMs / 1000} s after the kill of ${victim}: ${topology.lastWords()}`)
  }
  await outage
  if (!(await becomesWhole())) violations.push('the mesh was not whole in the end')
  return { killed, recoveries }
}

/** What serves only with its servers is not whole while they are away. */
async function becomesWhole(): Promise<boolean> {
  for (const end = performance.now() + recoveryMs; performance.now() < end; await sleep(100)) {
    if (await topology.isWhole()) return true
  }
  return false
}

async function away(which: string): Promise<void> {
  await sleep(5000)
  const gone = servers.filter(({ name }) => which === 'both' || name === which)
  if (gone.length === 0) throw new RangeError(`--outage is ${which}, allowed is nats, postgres or both`)
  for (const { name, stop } of gone) {
    log(`${name} is stopped for ${outageMs / 1000} s`)
    await stop()
  }
  await sleep(outageMs)
  for (const { name, start } of gone) {
    await start()
    log(`${name} is back`)
  }
}

async function check(): Promise<void> {
  for (const { id, key, seed } of accepted) {
    const generation = await work.get(id)
    if (generation?.status !== 'SUCCEEDED') {
      violations.push(`${key}: ${generation?.status ?? 'lost'} (${generation?.problem?.message ?? 'no reason'})`)
      continue
    }
    const pictures = await work.pictures(generation)
    if (pictures.join() !== expected.get(seed)) violations.push(`${key}: its pictures are not those of seed ${seed}`)
  }
  const there = await work.list()
  const made = accepted.length + seeds.length
  if (there.length !== made) violations.push(`${there.length} generations are there, ${made} were asked for`)
  if (new Set(accepted.map(({ id }) => id)).size !== accepted.length) violations.push('two keys have one generation')
}

function report(): void {
  const sorted = recoveries.toSorted((a, b) => a - b)
  const seconds = (ms: number | undefined) => (ms === undefined ? '-' : `${(ms / 1000).toFixed(1)} s`)
  const counts = Object.entries(killed).map(([name, count]) => `${name} ${count}`)
  console.log(
    [
      '',
      `mode ${options.mode}, seed ${options.seed}${options.outage ? `, ${options.outage} away for 30 s` : ''}: ` +
        `${((performance.now() - started) / 1000).toFixed(0)} s`,
      `${kills} kills: ${counts.join(', ')}`,
      `whole again after ${seconds(sorted[Math.floor(sorted.length / 2)])} (median), ${seconds(sorted.at(-1))} (longest)`,
      `${accepted.length} generations accepted; ${work.retries} requests made again`,
      `${violations.length} violations`,
      ...violations.slice(0, 20),
    ].join('\n'),
  )
  if (violations.length > 0) process.exitCode = 1
}

function failAfter(ms: number, message: string): Promise<void> {
  return sleep(ms, undefined, { ref: false }).then(() => void violations.push(message))
}
