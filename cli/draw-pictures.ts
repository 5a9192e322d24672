import { pictureSettings } from '../services/generation/picture-settings.ts'
import { createPipeline, featureBytes, type GenerationEvent } from '../services/generation/pipeline.ts'
import { type CompleteRequest, completeRequest } from '../services/generation/request.ts'
import { readSubject, segmentationOf } from '../services/generation/subject.ts'
import { createContentCache } from '../services/lib/content-cache.ts'
import type { PictureSigner } from '../services/lib/images/content-credentials.ts'
import { encodeImage } from '../services/lib/images/encode.ts'
import type { RgbImage } from '../services/lib/images/image.ts'
import type { NetworkPool } from '../services/lib/runtime/pool.ts'
import { openBundleServices } from './bundle-services.ts'
import { exitCodes } from './codes.ts'
import { type Gates, openGates } from './gates.ts'
import { writeInto } from './out-folder.ts'
import { pictureName } from './picture-name.ts'
import type { Progress } from './progress.ts'
import type { Asked, GenerateOptions } from './read-request.ts'

/**
 * Draws what `moma generate` was asked for and writes it out, a line a picture. What the safety policy does not allow is
 * refused before anything is drawn; of what is drawn, only what it allows is shown or written.
 */
export async function drawPictures(
  options: GenerateOptions,
  asked: Asked,
  pool: NetworkPool,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const { bundle, rehearsal, request, files, sizePx, folder, signer } = asked
  if (rehearsal)
    progress.note(`${options.bundle} is a rehearsal: its weights are random numbers, its pictures are noise`)
  const gates = await openGates(bundle, pool, rehearsal)
  const { label } = options
  // Words first: what they refuse is neither decoded nor looked at.
  for (const prompt of options.prompt) await gates.request({ label, prompt, negativePrompt: '' }, signal)
  const services = await openBundleServices(bundle, pool)
  pool.prepare([...gates.networks, ...services.networksFor(request.method ?? 'moma', files.mask === null)])
  const segmentation = segmentationOf(bundle, services.vision, signal)
  const subject = await readSubject(files, sizePx, segmentation)
  await gates.subject(subject, signal)
  const pipeline = createPipeline(services, bundle.manifest.settings, createContentCache(2 ** 28, featureBytes))
  for (const prompt of options.prompt) {
    const complete = completeRequest({ ...request, prompt }, bundle.manifest.settings)
    const started = performance.now()
    const events = pipeline.generate(subject, complete, {
      signal,
      decodePreviewEverySteps: progress.showsPreviews ? options.decodePreviews : 0,
    })
    for await (const event of events) {
      await show(progress, event, (picture) => gates.refusal(picture, label, signal))
      if (event.kind !== 'image') continue
      const refusal = await gates.refusal(event.image, label, signal)
      if (refusal !== null) {
        progress.note(`${refusal}; it is not written (seed ${event.seed})`)
        process.exitCode = exitCodes.refused
        continue
      }
      const path = await writePicture(folder, options, complete, event, signer)
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

/** A picture in the terminal is judged as a finished one is. */
async function show(
  progress: Progress,
  event: GenerationEvent,
  refusalOf: (preview: RgbImage) => ReturnType<Gates['refusal']>,
): Promise<void> {
  if (event.kind === 'stage') progress.update(`${event.stage.toLowerCase()} …`, null)
  if (event.kind === 'truncated')
    progress.note(`the prompt is longer than the text encoder reads; it does not see: "${event.text}"`)
  if (event.kind === 'step') {
    const first = progress.showsPreviews ? event.previews[0] : undefined
    if (first && (await refusalOf(first)) === null) await progress.preview(first)
    progress.update(`step ${event.step} of ${event.steps}`, event.step / event.steps)
  }
}

type ImageEvent = Extract<GenerationEvent, { kind: 'image' }>

async function writePicture(
  folder: string,
  options: GenerateOptions,
  request: CompleteRequest,
  event: ImageEvent,
  signer: PictureSigner | null,
): Promise<string> {
  const encoded = await encodeImage(event.image, 'png', {
    seed: BigInt(event.seed),
    settings: pictureSettings(options.bundle, options.label, request),
  })
  const bytes = signer ? await signer.sign(encoded) : encoded
  return writeInto(folder, pictureName(options.label, request, event.seed), bytes)
}
