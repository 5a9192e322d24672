import { eq } from 'drizzle-orm'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import { encodePlane, encodePreview } from '../lib/images/preview.ts'
import { MeshError } from '../lib/mesh/errors.ts'
import type { Events } from '../lib/mesh/events/events.ts'
import type { Logger } from '../lib/mesh/log.ts'
import type { Slots } from '../lib/mesh/slots.ts'
import { checkLabel } from '../lib/tokenizers/text.ts'
import type { Safety, Verdict } from '../safety/safety.ts'
import type { Vision } from '../vision/vision.ts'
import type { Assets, WrittenAsset } from './assets/assets.ts'
import type { Database } from './db/database.ts'
import { generations } from './db/schema.ts'
import { storableText } from './fields.ts'
import { newId, requestHash } from './ids.ts'
import { judge } from './judge.ts'
import { type GenerationLimits, imageLimits } from './limits.ts'
import { about, conflict, failed, invalidInput, limitExceeded, notFound, rejected } from './problems.ts'
import { snapshotOf, tell } from './snapshots.ts'
import { deleteGenerations, unfinishedStatuses } from './store/generations.ts'
import {
  deleteSubjectRow,
  findSubjectByKey,
  insertSubject,
  lockSubject,
  type Subject,
  type SubjectRow,
} from './store/subjects.ts'
import { deleteUploads, findUpload } from './store/uploads.ts'
import { type Subject as ReadSubject, readSubject } from './subject.ts'

/** Files that are deleted before a deletion answers; the sweep takes what is more. */
const removedAtOnce = 64

/** What is said to whoever has to ask again for a photo to be read: a guess at when a few of those before it are. */
const lineRetryMs = 5000

/** More than a client's wait for the safety service and its judgement together. */
const defaultReviewTimeoutMs = 15_000

export interface NewSubject {
  readonly tenant: string
  readonly uploadId: string
  readonly label: string
  /** Null: the photo's transparency tells, or else segmentation. */
  readonly maskUploadId: string | null
  readonly idempotencyKey: string | null
}

/** Throws Refused on what is not allowed. */
export interface Subjects {
  /**
   * Has the label's words reviewed, before the photo is read and before any network runs. Then it reads the photo, finds
   * or reads its mask, has both reviewed and keeps them at the working size: before that review the segmentation network
   * alone may see the photo, where nothing else tells the mask, since the review needs one. Without a verdict nothing is
   * kept; of a rejected subject, the verdict.
   */
  create(subject: NewSubject, signal: AbortSignal): Promise<Subject>
  /** Deletes it with all that was made of it; its unfinished generations are told to be CANCELED. Refused the second time. */
  delete(tenant: string, id: string): Promise<void>
}

export interface SubjectsOptions {
  readonly db: Database
  readonly assets: Assets
  readonly events: Events
  readonly vision: Pick<Vision, 'segment'>
  readonly safety: Pick<Safety, 'reviewPrompt' | 'reviewSubject'>
  readonly limits: GenerationLimits
  /** Side of the working size in pixels. */
  readonly sizePx: number
  /** Whether the bundle can find the thing in a photo. */
  readonly hasSegmentation: boolean
  /** Photos that are decoded at once: one may take 160 MB. Every tenant has a line of its own. */
  readonly slots: Slots
  /** Longest wait for one verdict, whatever the judge's own. */
  readonly reviewTimeoutMs?: number
  readonly log: Logger
  now(): Date
}

export function createSubjects(options: SubjectsOptions): Subjects {
  const { db, assets, events, vision, safety, limits, sizePx, hasSegmentation, slots, log, now } = options
  const { reviewTimeoutMs = defaultReviewTimeoutMs } = options

  const findKnown = async ({ tenant, idempotencyKey }: NewSubject, hash: string): Promise<Subject | null> => {
    if (idempotencyKey === null) return null
    const known = await db.run((queries) => findSubjectByKey(queries, tenant, idempotencyKey))
    if (known && known.row.requestHash !== hash) throw conflict(idempotencyKey)
    return known
  }

  /** A place to read a photo at, once it is the tenant's turn. */
  const takeTurn = async (tenant: string, signal: AbortSignal): Promise<Disposable> => {
    const { maxSubjectsWaiting, subjectWaitMs } = limits
    const enough = AbortSignal.timeout(subjectWaitMs)
    const refuse = (message: string) => limitExceeded('subjects', message, lineRetryMs)
    try {
      return await slots.acquire(AbortSignal.any([signal, enough]), tenant)
    } catch (error) {
      signal.throwIfAborted()
      if (enough.aborted) throw refuse(`the photo has waited for ${subjectWaitMs} ms to be read, allowed are no more`)
      if (!(error instanceof MeshError) || error.code !== 'RESOURCE_EXHAUSTED') throw error
      throw refuse(`${maxSubjectsWaiting} photos wait to be read, allowed are ${maxSubjectsWaiting}`)
    }
  }

  /** The key of its file. */
  const findFile = async (tenant: string, field: string, id: string): Promise<string> => {
    const found = await db.run((queries) => findUpload(queries, tenant, id, now()))
    if (!found) throw notFound('upload', id)
    if (!found.file)
      throw invalidInput(field, `${field} names an upload whose bytes are not there yet, send them first`)
    return found.file.key
  }
  const readUpload = async (tenant: string, field: string, id: string): Promise<Uint8Array> =>
    assets.read(await findFile(tenant, field, id))

  const segment = async (photo: RgbImage, signal: AbortSignal): Promise<GreyImage> => {
    try {
      return await vision.segment(photo, signal)
    } catch (error) {
      signal.throwIfAborted()
      const isMissing = error instanceof MeshError && error.code === 'FAILED_PRECONDITION'
      if (isMissing || (error instanceof Error && error.name === 'NotInBundle')) throw noSegmentation()
      log.warn({ err: error }, 'segmentation failed')
      throw failed('VISION', 'the subject could not be looked for in the photo, try again later or give a mask')
    }
  }

  const read = async (subject: NewSubject, signal: AbortSignal): Promise<ReadSubject> => {
    const { tenant, uploadId, maskUploadId, label } = subject
    const photo = await readUpload(tenant, 'uploadId', uploadId)
    const mask = maskUploadId === null ? null : await readUpload(tenant, 'maskUploadId', maskUploadId)
    const find = async (picture: RgbImage) => {
      if (!hasSegmentation) throw noSegmentation()
      return segment(picture, signal)
    }
    const field = ({ message }: Error) => (message.startsWith('mask:') ? 'maskUploadId' : 'uploadId')
    return about(field, () => readSubject({ photo, mask, label }, sizePx, find, imageLimits(limits)))
  }

  /** Fails closed. */
  const review = async (ask: (signal: AbortSignal) => Promise<Verdict>, signal: AbortSignal): Promise<Verdict> => {
    try {
      return await judge(ask, reviewTimeoutMs, signal)
    } catch (error) {
      signal.throwIfAborted()
      log.warn({ err: error }, 'subject not reviewed')
      throw failed('REVIEW_INPUT', 'the subject could not be reviewed, so nothing of it was kept; try again later')
    }
  }

  /** The verdict, with photo and mask where it allows them; `read` is null where nobody has looked at them. */
  const keep = async (
    { tenant, uploadId, maskUploadId, label, idempotencyKey }: NewSubject,
    hash: string,
    read: ReadSubject | null,
    verdict: Verdict,
  ): Promise<Subject | null> => {
    const drawable = verdict.decision === 'ALLOWED' ? read : null
    const uploadIds = [uploadId, ...(maskUploadId === null ? [] : [maskUploadId])]
    let files: WrittenAsset[] = []
    let isKept = false
    try {
      if (drawable) {
        const encoded = await Promise.all([encodePreview(drawable.reference, 'png'), encodePlane(drawable.mask)])
        files = await assets.write(
          tenant,
          encoded.map((bytes) => png(bytes, sizePx)),
        )
      }
      const [image = null, mask = null] = files
      const row: SubjectRow = {
        id: newId('sub'),
        tenant,
        label,
        status: drawable ? 'READY' : 'REJECTED',
        contentHash: drawable?.contentHash ?? null,
        imageKey: image?.key ?? null,
        maskKey: mask?.key ?? null,
        verdict,
        uploadIds: drawable ? uploadIds : [],
        idempotencyKey,
        requestHash: hash,
        createdAt: now(),
      }
      const doomed = await db.transaction(async (queries) => {
        if (!(await insertSubject(queries, row))) return null
        if (drawable) await assets.keep(queries, files)
        const keys = drawable ? [] : await deleteUploads(queries, tenant, uploadIds)
        await assets.doom(queries, keys)
        return keys
      })
      if (!doomed) return null
      isKept = true
      await assets.remove(doomed)
      return { row, image, mask }
    } finally {
      if (!isKept) await assets.abandon(files.map(({ key }) => key))
    }
  }

  /** Nothing is kept where the same was kept under its key first; whoever asks finds that one, unless it is deleted by then. */
  const requireKept = (kept: Subject | null): Subject => {
    if (!kept) throw new MeshError('ABORTED', 'the subject was deleted while it was made')
    return kept
  }

  /** The rejected subject where the words decide; null where it is for the photo to say. Nobody stands in line for it. */
  const judgeLabel = async (subject: NewSubject, hash: string, signal: AbortSignal): Promise<Subject | null> => {
    const { tenant, label, uploadId, maskUploadId } = subject
    // What there is no photo of leaves no row behind.
    await findFile(tenant, 'uploadId', uploadId)
    if (maskUploadId !== null) await findFile(tenant, 'maskUploadId', maskUploadId)
    const words = { label, prompt: '', negativePrompt: '', stage: 'SUBJECT' } as const
    const verdict = await review((bounded) => safety.reviewPrompt(words, bounded), signal)
    return verdict.decision === 'ALLOWED' ? null : requireKept(await keep(subject, hash, null, verdict))
  }

  const judgePhoto = async (subject: NewSubject, hash: string, signal: AbortSignal): Promise<Subject> => {
    using _slot = await takeTurn(subject.tenant, signal)
    // Whoever waited for the same thing to be made finds it now.
    const known = await findKnown(subject, hash)
    if (known) return known
    const whole = await read(subject, signal)
    const verdict = await review((bounded) => safety.reviewSubject(whole, bounded), signal)
    return requireKept(await keep(subject, hash, whole, verdict))
  }

  return {
    async create(subject, signal) {
      const { label, uploadId, maskUploadId } = subject
      await about('label', () => checkLabel(storableText('label', label)))
      const hash = requestHash([uploadId, label, maskUploadId])
      let made = await findKnown(subject, hash)
      try {
        made ??= (await judgeLabel(subject, hash, signal)) ?? (await judgePhoto(subject, hash, signal))
      } catch (error) {
        // Whoever made the same first may have taken the uploads away too: they go with a rejection.
        made = await findKnown(subject, hash)
        if (!made) throw error
      }
      if (made.row.status === 'REJECTED') throw rejected(made.row.verdict)
      return made
    },

    async delete(tenant, id) {
      const gone = await db.transaction(async (queries) => {
        const subject = await lockSubject(queries, tenant, id)
        if (!subject) return null
        const { rows, keys } = await deleteGenerations(queries, eq(generations.subjectId, id))
        await deleteSubjectRow(queries, id)
        const own = [subject.imageKey, subject.maskKey].filter((key) => key !== null)
        const files = [...own, ...(await deleteUploads(queries, tenant, subject.uploadIds))]
        await assets.doom(queries, files)
        return { rows, keys: [...files, ...keys] }
      })
      if (!gone) throw notFound('subject', id)
      const isUnfinished = new Set<string>(unfinishedStatuses)
      const stopped = gone.rows.filter(({ status }) => isUnfinished.has(status))
      await Promise.all(stopped.map((row) => tell(events, log, snapshotOf({ ...row, status: 'CANCELED' }, now()))))
      await assets.remove(gone.keys.slice(0, removedAtOnce))
    },
  }
}

const png = (bytes: Uint8Array, sidePx: number) => ({
  bytes,
  contentType: 'image/png',
  widthPx: sidePx,
  heightPx: sidePx,
})

const noSegmentation = () =>
  invalidInput(
    'maskUploadId',
    'maskUploadId is missing, the photo has no transparent background and this bundle has no segmentation network; ' +
      'give a mask that is white where the subject is',
  )
