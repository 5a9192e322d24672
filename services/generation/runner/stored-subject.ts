import { subjectHash } from '../../lib/content-cache.ts'
import { decodeImage, defaultImageLimits } from '../../lib/images/decode.ts'
import { whiteBackground } from '../../lib/images/geometry.ts'
import { decodeMask } from '../../lib/images/mask.ts'
import { MeshError } from '../../lib/mesh/errors.ts'
import type { Subject } from '../subject.ts'
import type { Run, RunStore } from './run-store.ts'

/** A run's subject as the pipeline works with it. Throws DATA_LOSS where its files are not what was kept. */
export async function readStoredSubject(store: RunStore, { subject }: Run): Promise<Subject> {
  const [image, mask] = await Promise.all([store.readAsset(subject.image), store.readAsset(subject.mask)])
  try {
    const reference = await decodeImage(image, defaultImageLimits)
    const marked = await decodeMask(mask, reference, reference)
    const contentHash = subjectHash(reference, marked)
    if (contentHash !== subject.contentHash) throw new RangeError(`content hash is ${contentHash}`)
    return { label: subject.label, reference, mask: marked, onWhite: whiteBackground(reference, marked), contentHash }
  } catch (error) {
    throw new MeshError('DATA_LOSS', "the subject's kept photo or mask can not be read", error)
  }
}
