import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { llavaUnused } from '../services/context/context-graph.ts'
import { openMetrics } from '../services/evaluation/metrics.ts'
import { createPipeline, featureBytes } from '../services/generation/pipeline.ts'
import { completeRequest } from '../services/generation/request.ts'
import { readSubject } from '../services/generation/subject.ts'
import { unusedTensors } from '../services/generation/unused-tensors.ts'
import { type Bundle, bundlePlaces, listBundles, openBundle } from '../services/lib/bundles/bundles.ts'
import { BundleError } from '../services/lib/bundles/errors.ts'
import { hubFromEnvironment } from '../services/lib/bundles/hub.ts'
import { readLock } from '../services/lib/bundles/lock.ts'
import { prepareDecoder } from '../services/lib/bundles/prepare.ts'
import { holdsMetrics, pullBundle } from '../services/lib/bundles/pull.ts'
import { verifyBundle } from '../services/lib/bundles/verify.ts'
import { verifyNetworks } from '../services/lib/bundles/verify-networks.ts'
import { createContentCache } from '../services/lib/content-cache.ts'
import { rehearsalPhoto } from '../services/lib/rehearsal/photo.ts'
import { rehearseBundle } from '../services/lib/rehearsal/rehearse.ts'
import { createMeasuredPool } from '../services/lib/runtime/measured-pool.ts'
import { createNetworkPool } from '../services/lib/runtime/pool.ts'
import { requireProvider } from '../services/lib/runtime/providers.ts'
import type { ExecutionProvider } from '../services/lib/runtime/recipe.ts'
import { openSafety } from '../services/safety/open.ts'
import { openBundleServices } from './bundle-services.ts'
import { costTable } from './costs.ts'
import { interruptible, withPool } from './interrupt.ts'
import { bytesOption, providerOption, wholeOption } from './options.ts'
import { createProgress } from './progress.ts'

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`

/** Shortest time between two redraws of a progress line. */
const redrawMs = 100

export function addModels(program: Command): void {
  const models = program
    .command('models')
    .summary('the networks: list, fetch, check')
    .description('Bundles of networks.')
  models
    .command('list')
    .description('lists the bundles and whether their weights are there')
    .option('--json', 'as JSON')
    .action(list)
  models
    .command('pull <bundle>')
    .option('--metrics', 'also what pictures are measured with (moma evaluate)')
    .description(
      'fetches the weights from the model hub (HF_ENDPOINT, HF_TOKEN); goes on where an earlier pull stopped',
    )
    .action((name: string, options: { metrics?: boolean }) =>
      withProgress(async (show, signal) => pull(name, options.metrics === true, show, signal)),
    )
  models
    .command('prepare <bundle>')
    .description('writes the language model in 4 bits: a third of the memory, for machines with less than 32 GB')
    .action((name: string) => withProgress(async (show, signal) => prepare(name, show, signal)))
  models
    .command('verify <bundle>')
    .description('compares every file with its checksum, and the tensors in them with what the networks take')
    .action((name: string) => withProgress(async (show, signal) => verify(name, show, signal)))
  models
    .command('rehearse <bundle>')
    .description(
      'writes weights of the real layout filled with random numbers and draws with them: what the full size takes on this ' +
        'machine, before anything is fetched. Prints time and memory by network; the picture is noise',
    )
    .option('--steps <n>', 'denoising steps', wholeOption(1, 999), 2)
    .option('--memory <bytes>', 'weights kept loaded at once', bytesOption, 6 * 2 ** 30)
    .option('--threads <n>', 'threads of arithmetic', wholeOption(1, 256), availableParallelism())
    .addOption(providerOption())
    .action((name: string, options: RehearseOptions) =>
      withProgress((show, signal) => rehearse(name, options, show, signal)),
    )
}

type Show = (label: string, share: number) => void

/** Runs a long task with a progress line, prints its result. */
async function withProgress(task: (show: Show, signal: AbortSignal) => Promise<string>): Promise<void> {
  const progress = createProgress(process.stderr, { quiet: false, previews: false })
  let drawnAt = 0
  const show: Show = (label, share) => {
    if (share < 1 && performance.now() - drawnAt < redrawMs) return
    drawnAt = performance.now()
    progress.update(label, share)
  }
  const result = await interruptible((signal) => task(show, signal), progress.done)
  process.stdout.write(`${result}\n`)
}

async function list({ json }: { json?: boolean }): Promise<void> {
  const bundles = await listBundles()
  if (json) {
    process.stdout.write(`${JSON.stringify(bundles)}\n`)
    return
  }
  for (const { name, title, path, state } of bundles) {
    const detail =
      state.kind === 'incomplete'
        ? `${state.missing} of ${state.files} files missing`
        : state.kind === 'damaged'
          ? state.reason
          : path
    process.stdout.write(`${name.padEnd(16)}${state.kind.padEnd(12)}${title} (${detail})\n`)
  }
}

async function pull(name: string, metrics: boolean, show: Show, signal: AbortSignal): Promise<string> {
  const bundle = await openBundle(name)
  const report = await pullBundle(bundle, {
    hub: hubFromEnvironment(process.env, signal),
    metrics,
    onProgress: ({ file, bytes, totalBytes }) =>
      show(`${file}, ${gigabytes(bytes)} of ${gigabytes(totalBytes)}`, bytes / totalBytes),
  })
  return `${report.folder} (${report.files} files, ${gigabytes(report.totalBytes)}, ${gigabytes(report.transferredBytes)} fetched)`
}

async function prepare(name: string, show: Show, signal: AbortSignal): Promise<string> {
  const bundle = await openBundle(name)
  const { path, sizeBytes } = await prepareDecoder(bundle, llavaUnused, (done, total) => {
    signal.throwIfAborted()
    show(`decoder in 4 bits, ${gigabytes(done)} of ${gigabytes(total)}`, done / total)
  })
  return `${path} (${gigabytes(sizeBytes)})`
}

async function verify(name: string, show: Show, signal: AbortSignal): Promise<string> {
  const bundle = await openBundle(name)
  const problems = await verifyBundle(bundle, {
    signal,
    onProgress: ({ file, bytes, totalBytes }) =>
      show(`${file}, ${gigabytes(bytes)} of ${gigabytes(totalBytes)}`, bytes / totalBytes),
  })
  if (problems.length > 0) {
    const details = problems.map(({ detail }) => detail).join('\n')
    throw new BundleError(
      'checksum',
      `${details}\nRemove these files from ${bundle.folder}, then: moma models pull ${name}`,
    )
  }
  const misfits = await checkNetworks(bundle, show, signal)
  if (misfits.length === 0) return `${bundle.folder} is whole, and its tensors are those that its networks take.`
  throw new BundleError('manifest', misfits.join('\n'))
}

async function checkNetworks(bundle: Bundle, show: Show, signal: AbortSignal): Promise<string[]> {
  const pool = createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 0 })
  return withPool(pool, signal, async () => {
    const networks = [
      ...(await openBundleServices(bundle, pool)).networks,
      ...(await openSafety(bundle, pool)).networks,
      ...((await hasMetrics(bundle)) ? (await openMetrics(bundle, pool)).networks : []),
    ]
    const onNetwork = (network: string, done: number, count: number) => show(`tensors of ${network}`, done / count)
    return verifyNetworks(bundle, networks, unusedTensors, { signal, onNetwork })
  })
}

/** What pictures are measured with is fetched only where it was asked for. */
async function hasMetrics({ folder, manifest }: Bundle): Promise<boolean> {
  if (!manifest.metrics) return false
  return manifest.sources === undefined || holdsMetrics(await readLock(folder), manifest)
}

interface RehearseOptions {
  readonly steps: number
  readonly memory: number
  readonly threads: number
  readonly provider: ExecutionProvider
}

async function rehearse(name: string, options: RehearseOptions, show: Show, signal: AbortSignal): Promise<string> {
  await requireProvider(options.provider)
  const bundle = await openBundle(name)
  const layouts = join(bundlePlaces().manifests, name, 'layouts')
  const { folder, totalBytes } = await rehearseBundle(bundle, layouts, {
    signal,
    onProgress: ({ file, doneBytes, totalBytes: total }) => show(`writing ${file}`, doneBytes / total),
  })
  await prepareDecoder(bundle, llavaUnused, (done, total) => {
    signal.throwIfAborted()
    show('preparing the decoder in 4 bits', done / total)
  })
  const { costs, elapsedMs } = await drawOnce(bundle, options, show, signal)
  return [
    `${folder}: ${gigabytes(totalBytes)} of random numbers, ${options.steps} steps in ${(elapsedMs / 1000).toFixed(1)} s`,
    costTable(costs),
    `Replace the rehearsal by the real weights with: moma models pull ${name}`,
  ].join('\n')
}

/** One picture by the real pipeline, with the cost of every network. */
async function drawOnce(
  bundle: Bundle,
  { steps, memory, threads, provider }: RehearseOptions,
  show: Show,
  signal: AbortSignal,
) {
  const { settings } = bundle.manifest
  const pool = createMeasuredPool({ provider, threads, memoryBytes: memory })
  const started = performance.now()
  return withPool(pool, signal, async () => {
    const services = await openBundleServices(bundle, pool)
    const pipeline = createPipeline(services, settings, createContentCache(2 ** 28, featureBytes))
    const subject = await readSubject({ ...(await rehearsalPhoto()), label: 'toy' }, settings.sizePx, null)
    const request = completeRequest({ prompt: 'a toy in a green garden', steps }, settings)
    for await (const event of pipeline.generate(subject, request, { signal })) {
      if (event.kind === 'stage') show(`drawing: ${event.stage.toLowerCase()}`, 0)
      if (event.kind === 'step') show(`drawing: step ${event.step} of ${steps}`, event.step / steps)
    }
    return { costs: pool.costs, elapsedMs: performance.now() - started }
  })
}
