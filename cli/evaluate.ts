import { mkdir } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type SamplerName, samplerNames } from '../services/denoise/samplers/sampler.ts'
import { bundlePrompts } from '../services/evaluation/bundle-prompts.ts'
import { evaluate } from '../services/evaluation/evaluate.ts'
import { bundleIdentity } from '../services/evaluation/identity.ts'
import { openJournal } from '../services/evaluation/journal.ts'
import { chooseMethods } from '../services/evaluation/methods.ts'
import { openMetrics } from '../services/evaluation/metrics.ts'
import { paperPrompts } from '../services/evaluation/prompts.ts'
import { findSubjects } from '../services/evaluation/subject-folders.ts'
import { writeReport } from '../services/evaluation/write-report.ts'
import { createPipeline, featureBytes } from '../services/generation/pipeline.ts'
import { type Method, methods } from '../services/generation/request.ts'
import { segmentationOf } from '../services/generation/subject.ts'
import { bundleState, openBundle } from '../services/lib/bundles/bundles.ts'
import { defaultBundle } from '../services/lib/bundles/default-bundle.ts'
import { createContentCache } from '../services/lib/content-cache.ts'
import { createNetworkPool } from '../services/lib/runtime/pool.ts'
import { requireProvider } from '../services/lib/runtime/providers.ts'
import type { ExecutionProvider } from '../services/lib/runtime/recipe.ts'
import { openBundleServices } from './bundle-services.ts'
import { InputFileError } from './input-file-error.ts'
import { interruptible, withPool } from './interrupt.ts'
import { bytesOption, providerOption, wholeOption } from './options.ts'
import { createProgress } from './progress.ts'

interface EvaluateOptions {
  readonly bundle: string
  readonly subjects: string
  readonly report: string
  readonly prompts?: number
  readonly seed: number
  readonly methods?: Method[]
  readonly count: number
  readonly sampler?: SamplerName
  readonly steps?: number
  readonly resume?: boolean
  readonly provider: ExecutionProvider
  readonly threads: number
  readonly memory: number
  readonly quiet?: boolean
}

export function addEvaluate(program: Command): void {
  program
    .command('evaluate')
    .summary("the paper's measurements, on photos of many things")
    .description(
      'Draws many things by MoMA and by what it is compared with, the same draws for all, and measures the pictures as the paper does. Writes report.html, report.json, every picture, and a journal that a run goes on from.',
    )
    .requiredOption('--subjects <dir>', "folder of folders of photos, as DreamBooth's")
    .option('--report <dir>', 'folder for the report', 'moma-report')
    .option('--bundle <name>', 'which networks (moma models list)', process.env.MOMA_BUNDLE || defaultBundle)
    .option('--prompts <n>', 'prompts of each kind a subject, drawn by the seed (all if not said)', wholeOption(1, 200))
    .option('--count <n>', 'pictures a prompt, drawn in one batch', wholeOption(1, 8), 1)
    .option('--seed <n>', 'decides prompts and noise', wholeOption(0, 2 ** 53 - 65), 0)
    .option(
      '--methods <names>',
      `of ${methods.join(', ')}; separated by commas (all that the bundle has if not said)`,
      methodsOption,
    )
    .addOption(new Option('--sampler <name>', "ddim is the paper's").choices([...samplerNames]))
    .option('--steps <n>', 'denoising steps', wholeOption(1, 999))
    .option('--resume', 'go on where an earlier run with the same report folder stopped')
    .addOption(providerOption())
    .option('--threads <n>', 'threads of arithmetic', wholeOption(1, 256), availableParallelism())
    .option('--memory <bytes>', 'weights kept loaded at once, such as 8G', bytesOption, Math.floor(totalmem() / 2))
    .option('--quiet', 'no progress')
    .addHelpText('after', examples)
    .action(run)
}

const examples = `
A folder of subjects holds <subject>/00.jpg … (the first is what is drawn from), optionally <subject>/masks/00.png …,
<subject>/subject.json ({"label": "teddy bear", "class": "toy"}) and DreamBooth's prompts_and_classes.txt. Prompts are
that list's, or else the bundle's own, or else the paper's.

Examples:
  $ moma evaluate --subjects dreambooth/dataset --report report --count 4
  $ moma evaluate --subjects things --prompts 2 --methods moma,no-mask --sampler unipc --steps 20
  $ moma evaluate --subjects things --report report --resume

Exit codes: as of moma generate.`

function methodsOption(text: string): Method[] {
  return text.split(',').map((name) => {
    const method = methods.find((one) => one === name.trim())
    if (!method) throw new InvalidArgumentError(`Allowed are ${methods.join(', ')}, separated by commas.`)
    return method
  })
}

async function run(options: EvaluateOptions): Promise<void> {
  const { seed, count, steps, sampler, quiet, provider, threads, memory } = options
  const bundle = await openBundle(options.bundle)
  await requireProvider(provider)
  const { settings } = bundle.manifest
  const drawnBy = chooseMethods(bundle.manifest, options.methods)
  const { subjects, list } = await findSubjects(options.subjects)
  const prompts = list?.prompts ?? (await bundlePrompts(bundle)) ?? paperPrompts
  const rehearsal = (await bundleState(bundle)).kind === 'rehearsal'
  const reportFolder = resolve(options.report)

  const progress = createProgress(process.stderr, { quiet: quiet === true, previews: false })
  const pool = createNetworkPool({ provider, threads, memoryBytes: memory })
  const measure = async (signal: AbortSignal) => {
    const metrics = await openMetrics(bundle, pool)
    const services = await openBundleServices(bundle, pool)
    await makeFolder(reportFolder, options.report)
    await using journal = await openJournal(join(reportFolder, 'journal.jsonl'), options.resume === true)
    const report = await evaluate({
      bundle: { name: bundle.manifest.name, settings, rehearsal, identity: await bundleIdentity(bundle) },
      tools: {
        pipeline: createPipeline(services, settings, createContentCache(2 ** 28, featureBytes)),
        metrics,
        segmentation: segmentationOf(bundle, services.vision, signal),
      },
      folders: subjects,
      prompts,
      request: {
        seed,
        methods: drawnBy,
        promptsPerKind: options.prompts ?? null,
        count,
        sizePx: settings.sizePx,
        ...(steps === undefined ? {} : { steps }),
        ...(sampler === undefined ? {} : { sampler }),
      },
      journal,
      reportFolder,
      signal,
      onProgress: (label, share) => progress.update(label, share),
    })
    const page = await writeReport(report, subjects, reportFolder)
    progress.done()
    process.stdout.write(`${page}\n`)
  }
  await interruptible((signal) => withPool(pool, signal, () => measure(signal)), progress.done)
}

async function makeFolder(path: string, asked: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((error: unknown) => {
    throw new InputFileError(`--report ${asked} can't be written: ${error instanceof Error ? error.message : error}`)
  })
}
