import { createReadStream } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { Option } from 'commander'
import { samplerNames } from '../services/denoise/samplers/sampler.ts'
import { pictureSettings } from '../services/generation/picture-settings.ts'
import { createPipeline, featureBytes, type GenerationEvent } from '../services/generation/pipeline.ts'
import {
  type CompleteRequest,
  checkSize,
  completeRequest,
  type GenerationRequest,
  methods,
} from '../services/generation/request.ts'
import { readSubject, segmentationOf } from '../services/generation/subject.ts'
import { bundleState, openBundle } from '../services/lib/bundles/bundles.ts'
import { defaultBundle } from '../services/lib/bundles/default-bundle.ts'
import { createContentCache } from '../services/lib/content-cache.ts'
import { defaultImageLimits } from '../services/lib/images/decode.ts'
import { encodeImage } from '../services/lib/images/encode.ts'
import { createNetworkPool } from '../services/lib/runtime/pool.ts'
import { requireProvider } from '../services/lib/runtime/providers.ts'
import type { ExecutionProvider } from '../services/lib/runtime/recipe.ts'
import { checkLabel } from '../services/lib/tokenizers/text.ts'
import { openBundleServices } from './bundle-services.ts'
import { InputFileError } from './exit.ts'
import { interruptible, withPool } from './interrupt.ts'
import { bytesOption, collect, numberOption, providerOption, wholeOption } from './options.ts'
import { checkOutFolder, writeInto } from './out-folder.ts'
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
  readonly provider: ExecutionProvider
  readonly threads: number
  readonly memory: number
  readonly json?: boolean
  readonly quiet?: boolean
  readonly preview: boolean
  readonly decodePreviews: number
}

/** Beside what was compiled; a checkout may be thrown away with it. */
const keptNetworks = fileURLToPath(new URL('../node_modules/.cache/moma-mesh/networks', import.meta.url))

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
    .option('--bundle <name>', 'which networks (moma models list)', process.env.MOMA_BUNDLE || defaultBundle)
    .addOption(providerOption())
    .option('--threads <n>', 'threads of arithmetic', wholeOption(1, 256), availableParallelism())
    .option(
      '--memory <bytes>',
      'weights kept loaded at once, such as 8G',
      bytesOption,
      Math.floor(totalmem() * defaultMemoryShare),
    )
    .option('--json', 'print one JSON line a picture instead of its path')
    .option('--quiet', 'no progress, only what is to be known of the request')
    .option('--no-preview', 'no picture in the terminal')
    .option(
      '--decode-previews <n>',
      'every n steps, the picture in the terminal is decoded in full (0: never; it takes as long as a finished one)',
      wholeOption(0, 1000),
      0,
    )
    .addHelpText('after', examples)
    .action(generate)
}

const examples = `
Examples:
  $ moma generate --image dog.jpg --mask dog-mask.png --label dog --prompt "a dog in a green garden with spring flowers"
  $ moma generate --image dog.png --label dog --task retexture --prompt "a sculpture of a dog made of gold" --count 4
  $ moma generate --image car.png --label car --prompt "a car on the beach" --sampler unipc --steps 20 --seed 7

Exit codes: 0 done, 1 a fault, 2 a wrong option or input, 3 a bundle that is missing or damaged, 130 interrupted
(Ctrl-C), 143 told to end (SIGTERM).`

async function generate(options: GenerateOptions): Promise<void> {
  const { bundle, rehearsal, request, files, sizePx, folder } = await readEverything(options)
  const progress = createProgress(process.stderr, { quiet: options.quiet === true, previews: options.preview })
  if (rehearsal)
    progress.note(`${options.bundle} is a rehearsal: its weights are random numbers, its pictures are noise`)
  const pool = createNetworkPool({
    provider: options.provider,
    threads: options.threads,
    memoryBytes: options.memory,
    sharedThreads: 2,
    keptIn: keptNetworks,
    onLoad: ({ name }) => progress.update(`loaded ${name}`, null),
  })
  const draw = async (signal: AbortSignal) => {
    const services = await openBundleServices(bundle, pool)
    pool.prepare(services.networksFor(request.method ?? 'moma', files.mask === null))
    const segmentation = segmentationOf(bundle, services.vision, signal)
    const subject = await readSubject(files, sizePx, segmentation)
    const pipeline = createPipeline(services, bundle.manifest.settings, createContentCache(2 ** 28, featureBytes))
    for (const prompt of options.prompt) {
      const complete = completeRequest({ ...request, prompt }, bundle.manifest.settings)
      const started = performance.now()
      const events = pipeline.generate(subject, complete, {
        signal,
        decodePreviewEverySteps: progress.showsPreviews ? options.decodePreviews : 0,
      })
      for await (const event of events) {
        await show(progress, event)
        if (event.kind !== 'image') continue
        const path = await writePicture(folder, options, complete, event)
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
  }
  await interruptible((signal) => withPool(pool, signal, () => draw(signal)), progress.done)
}

/** What can be wrong with the request but for what the pictures show, before anything of the bundle is opened. */
async function readEverything(options: GenerateOptions) {
  const bundle = await openBundle(options.bundle)
  const rehearsal = (await bundleState(bundle)).kind === 'rehearsal'
  await requireProvider(options.provider)
  checkLabel(options.label)
  const { image, mask, label, prompt, negative, ...rest } = options
  const request: Omit<GenerationRequest, 'prompt'> = {
    ...rest,
    ...(negative === undefined ? {} : { negativePrompt: negative }),
  }
  for (const one of prompt) completeRequest({ ...request, prompt: one }, bundle.manifest.settings)
  const sizePx = checkSize(options.size ?? bundle.manifest.settings.sizePx)
  const photo = await readInput('--image', image)
  const maskFile = mask === undefined ? null : await readInput('--mask', mask)
  const files = { photo, mask: maskFile, label }
  return { bundle, rehearsal, request, files, sizePx, folder: await checkOutFolder(options.out) }
}

async function readInput(option: string, path: string): Promise<Uint8Array> {
  const { maxBytes } = defaultImageLimits
  try {
    const chunks: Buffer[] = await createReadStream(path, { end: maxBytes }).toArray()
    const bytes = Buffer.concat(chunks)
    if (bytes.length <= maxBytes) return bytes
  } catch (error) {
    throw new InputFileError(`${option} ${path} can't be read: ${error instanceof Error ? error.message : error}`)
  }
  throw new InputFileError(`${option} ${path} is too large, allowed are ${maxBytes} bytes`)
}

async function show(progress: Progress, event: GenerationEvent): Promise<void> {
  if (event.kind === 'stage') progress.update(`${event.stage.toLowerCase()} …`, null)
  if (event.kind === 'truncated')
    progress.note(`the prompt is longer than the text encoder reads; it does not see: "${event.text}"`)
  if (event.kind === 'step') {
    const first = event.previews[0]
    if (first) await progress.preview(first)
    progress.update(`step ${event.step} of ${event.steps}`, event.step / event.steps)
  }
}

type ImageEvent = Extract<GenerationEvent, { kind: 'image' }>

async function writePicture(
  folder: string,
  options: GenerateOptions,
  request: CompleteRequest,
  event: ImageEvent,
): Promise<string> {
  const bytes = await encodeImage(event.image, 'png', {
    seed: BigInt(event.seed),
    settings: pictureSettings(options.bundle, options.label, request),
  })
  return writeInto(folder, pictureName(options.label, request, event.seed), bytes)
}

/** `dog-a-dog-in-a-green-garden-7.png`. */
function pictureName(label: string, { prompt, method }: CompleteRequest, seed: number): string {
  const words = `${label} ${prompt}`.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? ['picture']
  const stem = words.join('-').slice(0, 60).replace(/-+$/, '')
  return `${stem}${method === 'moma' ? '' : `-${method}`}-${seed}.png`
}
