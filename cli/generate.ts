import { getCompileCacheDir } from 'node:module'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { Option } from 'commander'
import { samplerNames } from '../services/denoise/samplers/sampler.ts'
import { methods } from '../services/generation/request.ts'
import { defaultBundle } from '../services/lib/bundles/default-bundle.ts'
import { createNetworkPool } from '../services/lib/runtime/pool.ts'
import { interruptible, withPool } from './interrupt.ts'
import { bytesOption, collect, numberOption, providerOption, wholeOption } from './options.ts'
import { createProgress } from './progress.ts'
import type { GenerateOptions } from './read-request.ts'

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
      "how closely the thing's details are kept (the bundle's own if not said; the paper's 1 for places, 0.5 for materials)",
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

Exit codes: 0 done, 1 a fault, 2 a wrong option or input, 3 a bundle that is missing or damaged, 4 refused by
the safety policy, 130 interrupted (Ctrl-C), 143 told to end (SIGTERM).`

/** With what Node has compiled, and only where it keeps that. */
function networksFolder(): string | undefined {
  const compiled = getCompileCacheDir()
  return compiled === undefined ? undefined : join(compiled, 'networks')
}

async function generate(options: GenerateOptions): Promise<void> {
  const progress = createProgress(process.stderr, { quiet: options.quiet === true, previews: options.preview })
  const pool = createNetworkPool({
    provider: options.provider,
    threads: options.threads,
    memoryBytes: options.memory,
    sharedThreads: 2,
    keptIn: networksFolder(),
    onLoad: ({ name }) => progress.update(`${name} loaded`, null),
  })
  const draw = async (signal: AbortSignal) => {
    // Only now, and bit by bit: the pool's threads start, and load, while the next is read.
    const { readRequest } = await import('./read-request.ts')
    const asked = await readRequest(options, progress.note)
    const { firstNetworks } = await import('./first-networks.ts')
    pool.prepare(await firstNetworks(asked.bundle, pool, asked.files.mask === null))
    const { drawPictures } = await import('./draw-pictures.ts')
    await drawPictures(options, asked, pool, progress, signal)
  }
  await interruptible((signal) => withPool(pool, signal, () => draw(signal)), progress.done)
}
