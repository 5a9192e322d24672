import type { Bundle } from '../lib/bundles/bundles.ts'
import { subjectHash } from '../lib/content-cache.ts'
import { decodeImage, defaultImageLimits, type ImageLimits } from '../lib/images/decode.ts'
import { whiteBackground } from '../lib/images/geometry.ts'
import { type GreyImage, ImageError, type RgbImage } from '../lib/images/image.ts'
import { decodeMask, maskFromPlane } from '../lib/images/mask.ts'
import { resizeBicubic } from '../lib/images/resize.ts'
import { checkLabel } from '../lib/tokenizers/text.ts'
import type { Vision } from '../vision/vision.ts'

/** A thing as the pipeline works with it: its photo at the working size, with its mask and its noun. */
export interface Subject {
  readonly label: string
  /** With its own background. */
  readonly reference: RgbImage
  readonly mask: GreyImage
  readonly onWhite: RgbImage
  /** Hash of picture and mask at the working size; the noun is not part of it. */
  readonly contentHash: string
}

export interface SubjectFiles {
  readonly photo: Uint8Array
  /** White where the subject is; null: the photo's transparency says it. */
  readonly mask: Uint8Array | null
  readonly label: string
}

/** Finds the subject in a photo where nobody has marked it: probabilities 0 … 255 at the photo's size. */
export type Segmentation = (photo: RgbImage) => Promise<GreyImage>

/** A bundle's own, or null where it has no segmentation network. */
export function segmentationOf({ manifest }: Bundle, vision: Vision, signal?: AbortSignal): Segmentation | null {
  return manifest.networks.segmentation ? (photo) => vision.segment(photo, signal) : null
}

/**
 * Reads photo and mask, bounds checked, and brings them to a square of `sizePx` (sides are stretched, as the released
 * code does). Without a mask, the photo's transparency is it, and without that `segmentation`. Throws an ImageError on
 * a bad file, an empty or a full mask, and where nothing tells the subject from its background.
 */
export async function readSubject(
  files: SubjectFiles,
  sizePx: number,
  segmentation: Segmentation | null,
  limits: ImageLimits = defaultImageLimits,
): Promise<Subject> {
  checkLabel(files.label)
  const photo = await decodeImage(files.photo, limits)
  const working = { widthPx: sizePx, heightPx: sizePx }
  const mask = files.mask
    ? await decodeMask(files.mask, photo, working, limits)
    : maskFromPlane(await findSubject(photo, segmentation), working)
  const reference = await resizeBicubic(photo, sizePx, sizePx)
  return {
    label: files.label,
    reference,
    mask,
    onWhite: whiteBackground(reference, mask),
    contentHash: subjectHash(reference, mask),
  }
}

async function findSubject(photo: RgbImage, segmentation: Segmentation | null): Promise<GreyImage> {
  if (photo.alpha) return { widthPx: photo.widthPx, heightPx: photo.heightPx, pixels: photo.alpha }
  if (segmentation) return segmentation(photo)
  throw new ImageError(
    'mask: none was given, the photo has no transparent background and this bundle has no segmentation network; ' +
      'give a mask that is white where the subject is',
  )
}
