import { join } from 'node:path'
import type { Pipeline } from '../generation/pipeline.ts'
import type { CompleteRequest } from '../generation/request.ts'
import type { Segmentation, Subject } from '../generation/subject.ts'
import { encodeImage } from '../lib/images/encode.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import { writeWhole } from '../lib/whole-file.ts'
import { type JournalPicture, type JournalRecord, packVector } from './journal.ts'
import { intersectionOverUnion } from './measures.ts'
import type { Metrics } from './metrics.ts'
import type { Unit } from './protocol.ts'

export interface DrawTools {
  readonly pipeline: Pipeline
  readonly metrics: Metrics
  /** Finds the thing in what was drawn; null where the bundle can't. */
  readonly segmentation: Segmentation | null
}

export interface DrawTarget {
  /** The report's folder; pictures go into `pictures/<subject>/`. */
  readonly folder: string
  readonly key: string
  readonly bundle: string
  readonly signal?: AbortSignal
  /** Told of every step, as a share of the unit from 0 to 1. */
  readonly onStep: (share: number) => void
}

/** Draws a unit in one batch, writes its pictures and takes their embeddings. Throws the signal's reason when it is aborted. */
export async function drawUnit(
  { pipeline, metrics, segmentation }: DrawTools,
  subject: Subject,
  unit: Unit,
  request: CompleteRequest,
  target: DrawTarget,
): Promise<JournalRecord> {
  const { folder, key, signal, onStep } = target
  const pictures: JournalPicture[] = []
  for await (const event of pipeline.generate(subject, request, signal ? { signal } : {})) {
    if (event.kind === 'step') onStep(event.step / event.steps)
    if (event.kind !== 'image') continue
    const { image, seed } = event
    const file = `pictures/${unit.subject}/${pictureName(unit, seed, key)}`
    await writeWhole(
      join(folder, file),
      await encodeImage(image, 'png', provenanceOf(unit, request, seed, target.bundle)),
    )
    signal?.throwIfAborted()
    const { dino, clip } = await metrics.picture(image)
    const maskIou = segmentation ? await overlap(event.mask, image, segmentation) : null
    signal?.throwIfAborted()
    pictures.push({ seed, file, dino: packVector(dino), clip: packVector(clip), maskIou })
  }
  return { key, pictures }
}

async function overlap(mask: GreyImage, image: RgbImage, segmentation: Segmentation): Promise<number | null> {
  return intersectionOverUnion(mask, await segmentation(image))
}

/** `in-the-snow-no-mask-17-3fa9c1d2.png`; the key's beginning tells apart what was drawn with other settings. */
function pictureName({ promptKey, kind, method }: Unit, seed: number, key: string): string {
  const words = promptKey.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [kind]
  return `${words.join('-').slice(0, 60)}-${method}-${seed}-${key.slice(0, 8)}.png`
}

function provenanceOf(unit: Unit, request: CompleteRequest, seed: number, bundle: string) {
  const { prompt, task, method, strength, guidance, steps, sampler } = request
  const settings = { bundle, label: unit.label, prompt, task, method, strength, guidance, steps, sampler }
  return { seed: BigInt(seed), settings }
}
