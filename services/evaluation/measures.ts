import type { GreyImage } from '../lib/images/image.ts'
import { resizeNearest } from '../lib/images/resize.ts'
import { mean } from './statistics.ts'

/** A picture as the metric networks see it, both of length 1. */
export interface PictureEmbeddings {
  readonly dino: Float32Array
  readonly clip: Float32Array
}

/** Photos of every subject, by its name. */
export type References = ReadonlyMap<string, readonly PictureEmbeddings[]>

/** One generated picture's numbers; null where they can't be had. */
export interface Measures {
  /** Mean cosine to the subject's photos. */
  readonly dino: number
  readonly clipI: number
  /** Cosine to the prompt. */
  readonly clipT: number
  /** 1 where no other prompt of the list is nearer than its own. */
  readonly promptRecognised: number
  /** 1 where DINO finds no other subject's photos nearer; null with one subject alone. */
  readonly thingRecognised: number | null
  /** Of the last step's mask with the thing as the segmentation network sees it in the picture. */
  readonly maskIou: number | null
}

export interface MeasuredPicture {
  readonly embeddings: PictureEmbeddings
  readonly subject: string
  readonly promptKey: string
  readonly maskIou: number | null
}

/** `texts`: every prompt of the picture's list by its key, with the picture's noun. Throws a RangeError for a subject or prompt that is not among them. */
export function measure(
  picture: MeasuredPicture,
  references: References,
  texts: ReadonlyMap<string, Float32Array>,
): Measures {
  const { embeddings, subject, promptKey, maskIou } = picture
  const own = references.get(subject)
  const text = texts.get(promptKey)
  if (!own?.length) throw new RangeError(`subject ${subject} has no photos to compare with`)
  if (!text) throw new RangeError(`prompt ${promptKey} is not in the list`)
  const likeness = (photos: readonly PictureEmbeddings[], network: keyof PictureEmbeddings) =>
    mean(photos.map((photo) => cosine(embeddings[network], photo[network]))) ?? Number.NaN
  const dino = likeness(own, 'dino')
  const clipT = cosine(embeddings.clip, text)
  const isNearer = [...texts.values()].some((other) => cosine(embeddings.clip, other) > clipT)
  const others = [...references].filter(([name]) => name !== subject)
  const isAnother = others.some(([, photos]) => likeness(photos, 'dino') > dino)
  return {
    dino,
    clipI: likeness(own, 'clip'),
    clipT,
    promptRecognised: isNearer ? 0 : 1,
    thingRecognised: others.length === 0 ? null : isAnother ? 0 : 1,
    maskIou,
  }
}

/** Of two vectors of length 1. */
export function cosine(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) throw new RangeError(`embeddings have ${a.length} and ${b.length} channels`)
  let sum = 0
  for (let index = 0; index < a.length; index++) sum += a[index]! * b[index]!
  return sum
}

/** From this level on a pixel is the thing. */
const thingFromLevel = 128

/** Intersection over union of two planes of 0 … 255, cut at the half, at `thing`'s size; null where both are empty. */
export function intersectionOverUnion(mask: GreyImage, thing: GreyImage): number | null {
  const { pixels } = resizeNearest(mask, thing.widthPx, thing.heightPx)
  let both = 0
  let either = 0
  for (const [index, level] of thing.pixels.entries()) {
    const [inMask, inThing] = [pixels[index]! >= thingFromLevel, level >= thingFromLevel]
    if (inMask && inThing) both++
    if (inMask || inThing) either++
  }
  return either === 0 ? null : both / either
}
