import { type ContentCache, subjectHash } from '../../lib/content-cache.ts'
import { decodeImage, defaultImageLimits } from '../../lib/images/decode.ts'
import { whiteBackground } from '../../lib/images/geometry.ts'
import { decodeMask } from '../../lib/images/mask.ts'
import { MeshError } from '../../lib/mesh/errors.ts'
import type { Subject } from '../subject.ts'
import type { Run, RunStore } from './run-store.ts'

/** A subject without its noun: what its content hash stands for. */
export type SubjectPictures = Omit<Subject, 'label'>

/**
 * A run's subject as the pipeline works with it, at the bundle's working size; its pictures are read once for as long as
 * `cache` has room. Throws DATA_LOSS where its files are not what was kept, and FAILED_PRECONDITION where they are of
 * another bundle's size: the networks would take them, and draw nonsense.
 */
export async function readStoredSubject(
  store: Pick<RunStore, 'readAsset'>,
  { subject }: Run,
  cache: ContentCache<SubjectPictures>,
  sizePx: number,
): Promise<Subject> {
  const pictures = await cache.get(subject.contentHash, () => readPictures(store, subject))
  const { widthPx } = pictures.reference
  if (widthPx !== sizePx) {
    const sizes = `was made for ${widthPx} px, this bundle works at ${sizePx}`
    throw new MeshError('FAILED_PRECONDITION', `the subject ${sizes}; make the subject anew`)
  }
  return { label: subject.label, ...pictures }
}

/** What a subject's pictures take of the cache's bound. */
export function pictureBytes({ reference, mask, onWhite }: SubjectPictures): number {
  return reference.pixels.byteLength + mask.pixels.byteLength + onWhite.pixels.byteLength
}

async function readPictures(store: Pick<RunStore, 'readAsset'>, subject: Run['subject']): Promise<SubjectPictures> {
  const [image, mask] = await Promise.all([store.readAsset(subject.image), store.readAsset(subject.mask)])
  try {
    const reference = await decodeImage(image, defaultImageLimits)
    const marked = await decodeMask(mask, reference, reference)
    const contentHash = subjectHash(reference, marked)
    if (contentHash !== subject.contentHash) throw new RangeError(`content hash is ${contentHash}`)
    return { reference, mask: marked, onWhite: whiteBackground(reference, marked), contentHash }
  } catch (error) {
    throw new MeshError('DATA_LOSS', "the subject's kept photo or mask can not be read", error)
  }
}
