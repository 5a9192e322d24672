/**
 * Feeds damaged checkpoints to the readers of services/lib/weights: each must be read, with all tensors inside their
 * files, or be refused by a CheckpointError of one line. `npm run fuzz:weights -- --count 100000 --seed 1`; an iteration
 * alone, with its outcome: `--only 4711`. Ends with 1 on any other outcome, a stall, or too much memory.
 */
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { sourceOf } from '../../services/lib/weights/byte-source.ts'
import { readCheckpoint } from '../../services/lib/weights/checkpoint.ts'
import { type Checkpoint, CheckpointError, tensorByteLength } from '../../services/lib/weights/tensor-entry.ts'
import { damaged, type Files } from './damage.ts'

const folder = '/fuzz'
const slowMs = 2000
const stallMs = 20_000
const memoryLimit = 512 * 2 ** 20

interface Settings {
  readonly count: number
  readonly seed: number
  readonly only: number | undefined
  /** The iteration under way, for whoever has to say where the readers got stuck. */
  readonly progress: Int32Array<SharedArrayBuffer>
}

interface Summary {
  readonly read: number
  readonly refused: number
  readonly ways: number
  readonly slowestMs: number
  readonly slowest: number
  readonly growth: number
  readonly violations: readonly string[]
}

function open(files: Files, name: string): Checkpoint {
  const file = files.get(name)
  if (file === undefined) throw new CheckpointError(join(folder, name), "can't be opened")
  return readCheckpoint(sourceOf(join(folder, name), file), (shardName) => open(files, shardName))
}

/** What is wrong with a checkpoint that was read, or undefined. */
function problemOf(files: Files, { tensors }: Checkpoint): string | undefined {
  for (const [name, { name: own, file, dtype, shape, offset, length }] of tensors) {
    const size = files.get(basename(file))?.length ?? 0
    const numbersAreWhole = [offset, length, ...shape].every((value) => Number.isSafeInteger(value) && value >= 0)
    if (name !== own || !numbersAreWhole || tensorByteLength(dtype, shape) !== length || offset + length > size)
      return `tensor ${JSON.stringify({ name, own, dtype, shape, offset, length, size })}`
  }
  return undefined
}

function outcomeOf(files: Files): {
  readonly refusal?: string
  readonly tensors?: number
  readonly violation?: string
} {
  try {
    const checkpoint = open(files, [...files.keys()][0]!)
    const violation = problemOf(files, checkpoint)
    return violation === undefined ? { tensors: checkpoint.tensors.size } : { violation }
  } catch (error) {
    if (!(error instanceof CheckpointError))
      return { violation: error instanceof Error ? `${error.stack}` : String(error) }
    const { message } = error
    const isClear = message.startsWith(`${folder}/`) && !/[\p{Cc}\u2028\u2029]/u.test(message) && message.length < 1000
    return isClear ? { refusal: message } : { violation: `the message ${JSON.stringify(message.slice(0, 2000))}` }
  }
}

function fuzz({ count, seed, only, progress }: Settings): Summary {
  const ways = new Set<string>()
  const violations: string[] = []
  let read = 0
  let slowestMs = 0
  let slowest = 0
  for (let warmUp = 0; warmUp < 1000; warmUp++) outcomeOf(damaged(seed, -1 - warmUp))
  const startBytes = process.memoryUsage.rss()
  let mostBytes = startBytes
  const first = only ?? 0
  const end = only === undefined ? count : only + 1
  for (let iteration = first; iteration < end && violations.length < 10; iteration++) {
    Atomics.store(progress, 0, iteration)
    const files = damaged(seed, iteration)
    const startMs = performance.now()
    const outcome = outcomeOf(files)
    const tookMs = performance.now() - startMs
    if (only !== undefined) console.log(outcome)
    if (tookMs > slowestMs) {
      slowestMs = tookMs
      slowest = iteration
    }
    if (tookMs > slowMs)
      violations.push(`iteration ${iteration}: took ${tookMs.toFixed(0)} ms; at most ${slowMs} are allowed`)
    if (outcome.violation !== undefined) violations.push(`iteration ${iteration}: ${outcome.violation}`)
    if (outcome.tensors !== undefined) read++
    // The words of a message without what it quotes and counts.
    if (outcome.refusal !== undefined) ways.add(outcome.refusal.replace(/'.*'|[0-9]+/g, '…'))
    if (iteration % 16 === 0) mostBytes = Math.max(mostBytes, process.memoryUsage.rss())
  }
  const done = end - first
  const growth = mostBytes - startBytes
  return { read, refused: done - read - violations.length, ways: ways.size, slowestMs, slowest, growth, violations }
}

// The readers run in a worker, so that a stall or too much memory ends in a report.

function settingsOf(): Settings {
  const { values } = parseArgs({
    options: { count: { type: 'string' }, seed: { type: 'string' }, only: { type: 'string' } },
  })
  const whole = (name: string, text: string) => {
    if (!/^[0-9]{1,9}$/.test(text)) throw new RangeError(`--${name} is '${text}'; a whole number below 10^9 is allowed`)
    return Number(text)
  }
  const only = values.only === undefined ? undefined : whole('only', values.only)
  const progress = new Int32Array(new SharedArrayBuffer(4))
  return { count: whole('count', values.count ?? '100000'), seed: whole('seed', values.seed ?? '1'), only, progress }
}

function watch(settings: Settings): void {
  const startMs = performance.now()
  const again = () =>
    `(again: npm run fuzz:weights -- --seed ${settings.seed} --only ${Atomics.load(settings.progress, 0)})`
  const fail = (problem: string) => {
    console.error(`fuzz:weights: ${problem} ${again()}`)
    process.exit(1)
  }
  const worker = new Worker(new URL(import.meta.url), {
    workerData: settings,
    // Twice what is allowed: a loop that allocates is not always ended by `exit`.
    resourceLimits: { maxOldGenerationSizeMb: memoryLimit / 2 ** 19 },
  })
  const startBytes = process.memoryUsage.rss()
  let last = { iteration: 0, sinceMs: startMs }
  setInterval(() => {
    const iteration = Atomics.load(settings.progress, 0)
    const nowMs = performance.now()
    if (iteration !== last.iteration) last = { iteration, sinceMs: nowMs }
    if (nowMs - last.sinceMs > stallMs) fail(`no outcome in ${stallMs} ms`)
    const growth = process.memoryUsage.rss() - startBytes
    if (growth > memoryLimit) fail(`memory grew by ${growth} bytes; at most ${memoryLimit} are allowed`)
  }, 20).unref()
  worker.on('error', (error) => fail(error.message))
  worker.on('message', ({ read, refused, ways, slowestMs, slowest, growth, violations }: Summary) => {
    for (const violation of violations) console.error(`seed ${settings.seed}, ${violation}`)
    console.log(
      `fuzz:weights: seed ${settings.seed}, ${read + refused + violations.length} damaged checkpoints: ${read} read, ` +
        `${refused} refused in ${ways} ways, ${violations.length} violations; slowest ${slowestMs.toFixed(1)} ms ` +
        `(iteration ${slowest}), memory +${(growth / 2 ** 20).toFixed(0)} MiB, ${((performance.now() - startMs) / 1000).toFixed(1)} s`,
    )
    process.exitCode = violations.length > 0 ? 1 : 0
  })
}

if (isMainThread) watch(settingsOf())
else parentPort?.postMessage(fuzz(workerData))
