import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { Option } from 'commander'
import { samplerNames } from '../services/denoise/samplers/sampler.ts'
import { createContentCache } from '../services/generation/content-cache.ts'
import { openLocalServices } from '../services/generation/local-services.ts'
import { createPipeline, type GenerationEvent } from '../services/generation/pipeline.ts'
import {
  type CompleteRequest,
  checkSize,
  completeRequest,
  type GenerationRequest,
  methods,
} from '../services/generation/request.ts'
import { readSubject, segmentationOf } from '../services/generation/subject.ts'
import { bundleState, openBundle } from '../services/lib/bundles/bundles.ts'
import { encodeImage } from '../services/lib/images/encode.ts'
import { createNetworkPool } from '../services/lib/runtime/pool.ts'
import { executionProviders } from '../services/lib/runtime/recipe.ts'
import { InputFileError } from './exit.ts'
import { bytesOption, collect, numberOption, wholeOption } from './options.ts'
import { createProgress, type Progress } from './progress.ts'

interface GenerateOptions extends Omit<GenerationRequest, 'prompt' | 'negativePrompt'> {
  readonly image: string
  readonly mask?: string
  readonly label: string
  readonly prompt: string[]
  readonly negative?: string
  readonly out: string
  readonly bundle: string
  readonly size?: number
  readonly provider: (typeof executionProviders)[number]
  readonly threads: number
  readonly memory: number
  readonly json?: boolean
  readonly quiet?: boolean
  readonly preview: boolean
}

/** Memory for weights if not said: most of a small machine, all of what a large one needs. */
const defaultMemoryShare = 0.5

export function addGenerate(program: Command): void {
  program
    .command('generate')
    .summary('draw the thing of a photo in a new place or material')
    .description('Draws the thing of one photo anew, as a sentence says.')
    .requiredOption('--image <file>', 'photo of the thing')
    .option(
      '--mask <file>',
      'picture of the same shape, white where the thing is (a transparent background says it too; ' +
        'without either the bundle finds the thing itself, where it can)',
    )
    .requiredOption('--label <noun>', 'what the thing is, such as "dog"')
    .requiredOption(
      '--prompt <text>',
      'what the picture should show; again for more pictures of the same thing',
      collect,
    )
    .option('--negative <text>', 'what it should not show')
    .addOption(new Option('--task <task>', 'a new place, or a new material').choices(['recontextualize', 'retexture']))
    .option(
      '--strength <number>',
      "how closely the thing's details are kept (1 for places, 0.5 for materials)",
      numberOption('a number from 0 to 1.2', (value) => value >= 0 && value <= 1.2),
    )
    .option(
      '--guidance <number>',
      'how closely the sentence is followed',
      numberOption('a number from 1 to 30', (value) => value >= 1 && value <= 30),
    )
    .option('--steps <n>', 'denoising steps', wholeOption(1, 999))
    .addOption(
      new Option('--sampler <name>', "ddim is the paper's; the others need only 15 to 25 steps").choices([
        ...samplerNames,
      ]),
    )
    .option('--seed <n>', 'seed of the first picture, further ones count up', wholeOption(0, 2 ** 53 - 65))
    .option('--count <n>', 'pictures per prompt', wholeOption(1, 8))
    .option(
      '--size <px>',
      "side of the pictures, a multiple of 64 (the bundle's own if not said)",
      numberOption('a multiple of 64 from 64 to 1024', (value) => value % 64 === 0 && value >= 64 && value <= 1024),
    )
    .addOption(new Option('--method <name>', 'MoMA, or what it is compared with').choices([...methods]))
    .option('--out <dir>', 'folder for the pictures', '.')
    .option('--bundle <name>', 'which networks (moma models list)', process.env.MOMA_BUNDLE ?? 'moma-sd15')
    .addOption(new Option('--provider <name>', 'what computes').choices([...executionProviders]).default('cpu'))
    .option('--threads <n>', 'threads of arithmetic', wholeOption(1, 256), availableParallelism())
    .option(
      '--memory <bytes>',
      'weights kept loaded at once, such as 8G',
      bytesOption,
      Math.floor(totalmem() * defaultMemoryShare),
    )
    .option('--json', 'print one JSON line a picture instead of its path')
    .option('--quiet', 'no progress')
    .option('--no-preview', 'no picture in the terminal')
    .addHelpText('after', examples)
    .action(generate)
}

const examples = `
Examples:
  $ moma generate --image dog.jpg --mask dog-mask.png --label dog --prompt "a dog in a green garden with spring flowers"
  $ moma generate --image dog.png --label dog --task retexture --prompt "a sculpture of a dog made of gold" --count 4
  $ moma generate --image car.png --label car --prompt "a car on the beach" --sampler unipc --steps 20 --seed 7

Exit codes: 0 done, 1 a fault, 2 a wrong option or input, 3 a bundle that is missing or damaged, 130 interrupted.`

async function generate(options: GenerateOptions): Promise<void> {
  const { bundle, rehearsal, request, files } = await readEverything(options)
  const progress = createProgress(process.stderr, { quiet: options.quiet === true, previews: options.preview })
  if (rehearsal)
    progress.note(`${options.bundle} is a rehearsal: its weights are random numbers, its pictures are noise`)
  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  process.once('SIGINT', onInterrupt)
  const pool = createNetworkPool({
    provider: options.provider,
    threads: options.threads,
    memoryBytes: options.memory,
    onLoad: ({ name }) => progress.update(`loaded ${name}`, null),
  })
  try {
    const sizePx = checkSize(options.size ?? bundle.manifest.settings.sizePx)
    const services = await openLocalServices(bundle, pool)
    const subject = await readSubject(
      { ...files, label: options.label },
      sizePx,
      segmentationOf(bundle, services.vision, interrupt.signal),
    )
    const pipeline = createPipeline(
      services,
      bundle.manifest.settings,
      services.latentChannels,
      createContentCache(2 ** 30),
    )
    for (const prompt of options.prompt) {
      const complete = completeRequest({ ...request, prompt }, bundle.manifest.settings)
      const started = performance.now()
      for await (const event of pipeline.generate(subject, complete, { signal: interrupt.signal })) {
        show(progress, event)
        if (event.kind !== 'image') continue
        const path = await writePicture(options, complete, event)
        progress.done()
        const line = {
          path,
          index: event.index,
          seed: event.seed,
          prompt,
          elapsedMs: Math.round(performance.now() - started),
        }
        process.stdout.write(`${options.json ? JSON.stringify(line) : path}\n`)
      }
    }
  } catch (error) {
    // What a network says when its thread is ended by Ctrl-C is no news.
    interrupt.signal.throwIfAborted()
    throw error
  } finally {
    progress.done()
    process.off('SIGINT', onInterrupt)
    await pool.dispose()
  }
}

/** Everything that can be wrong with the request, before any network is opened. */
async function readEverything(options: GenerateOptions) {
  const bundle = await openBundle(options.bundle)
  const rehearsal = (await bundleState(bundle)).kind === 'rehearsal'
  const { image, mask, label, prompt, negative, ...rest } = options
  const request: Omit<GenerationRequest, 'prompt'> = {
    ...rest,
    ...(negative === undefined ? {} : { negativePrompt: negative }),
  }
  for (const one of prompt) completeRequest({ ...request, prompt: one }, bundle.manifest.settings)
  return {
    bundle,
    rehearsal,
    request,
    files: { photo: await readInput('--image', image), mask: mask ? await readInput('--mask', mask) : null, label },
  }
}

async function readInput(option: string, path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (error) {
    throw new InputFileError(`${option} ${path} can't be read: ${error instanceof Error ? error.message : error}`)
  }
}

function show(progress: Progress, event: GenerationEvent): void {
  if (event.kind === 'stage') progress.update(`${event.stage.toLowerCase()} …`, null)
  if (event.kind === 'truncated')
    progress.note(`the prompt is longer than the text encoder reads; it does not see: "${event.text}"`)
  if (event.kind === 'step') {
    const first = event.previews[0]
    if (first) progress.preview(first)
    progress.update(`step ${event.step} of ${event.steps}`, event.step / event.steps)
  }
}

type ImageEvent = Extract<GenerationEvent, { kind: 'image' }>

/** Writes the picture under a temporary name first: nobody ever finds half of one. */
async function writePicture(options: GenerateOptions, request: CompleteRequest, event: ImageEvent): Promise<string> {
  const folder = resolve(options.out)
  const path = join(folder, pictureName(options.label, request, event.seed))
  const bytes = await encodeImage(event.image, 'png', {
    seed: BigInt(event.seed),
    settings: settingsOf(options, request),
  })
  const partial = `${path}.${process.pid}.part`
  try {
    await mkdir(folder, { recursive: true })
    await writeFile(partial, bytes)
    await rename(partial, path)
  } catch (error) {
    await rm(partial, { force: true })
    throw new InputFileError(`--out ${options.out} can't be written: ${error instanceof Error ? error.message : error}`)
  }
  return path
}

/** `dog-a-dog-in-a-green-garden-7.png`. */
function pictureName(label: string, { prompt, method }: CompleteRequest, seed: number): string {
  const words = `${label} ${prompt}`.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ['picture']
  const stem = words.join('-').slice(0, 60).replace(/-+$/, '')
  return `${stem}${method === 'moma' ? '' : `-${method}`}-${seed}.png`
}

function settingsOf(options: GenerateOptions, request: CompleteRequest): Record<string, string | number> {
  const { prompt, negativePrompt, task, method, strength, guidance, steps, sampler } = request
  const { bundle, label } = options
  return {
    bundle,
    label,
    prompt,
    ...(negativePrompt === '' ? {} : { negativePrompt }),
    task,
    method,
    strength,
    guidance,
    steps,
    sampler,
  }
}
