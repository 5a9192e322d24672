import { decodeCheckpoint, encodeCheckpoint } from '../../denoise/checkpoint.ts'
import type { DrawingEvent } from '../../denoise/drawing.ts'
import type { ContentCache } from '../../lib/content-cache.ts'
import type { PictureSigner } from '../../lib/images/content-credentials.ts'
import { encodeImage } from '../../lib/images/encode.ts'
import type { GreyImage } from '../../lib/images/image.ts'
import { encodePlane } from '../../lib/images/preview.ts'
import type { Events } from '../../lib/mesh/events/events.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import type { Safety } from '../../safety/safety.ts'
import { judge } from '../judge.ts'
import { pictureSettings } from '../picture-settings.ts'
import type { GenerateOptions, Pipeline } from '../pipeline.ts'
import { decodeProgress, type Snapshot } from '../progress.ts'
import type { Subject } from '../subject.ts'
import { Stopped } from './faults.ts'
import type { RunnerMetrics } from './metrics.ts'
import { createPreviews, png } from './previews.ts'
import { createReports } from './reports.ts'
import { review } from './review.ts'
import type { NewImage, Place, Run, RunStore, Stage } from './run-store.ts'
import { createStepClock } from './step-clock.ts'
import { readStoredSubject, type SubjectPictures } from './stored-subject.ts'
import { createWrites } from './writes.ts'

export interface AttemptSettings {
  /** A state that another attempt can go on from is kept every so many steps. */
  readonly checkpointEverySteps: number
  /** A preview is judged and shown every so many steps at most; 0 for none. */
  readonly previewEverySteps: number
  /** Previews of every so many steps are decoded by the VAE; 0 for none. */
  readonly decodePreviewEverySteps: number
  /** Longest wait for one verdict, whatever the judge's own. */
  readonly reviewTimeoutMs: number
}

export interface AttemptContext extends AttemptSettings {
  readonly store: RunStore
  readonly events: Events
  readonly pipeline: Pipeline
  readonly safety: Safety
  /** What was read of subjects, by the hash of their pictures. */
  readonly subjects: ContentCache<SubjectPictures>
  /** Name of the bundle, for the pictures' provenance. */
  readonly bundle: string
  /** Side of its working size. */
  readonly sizePx: number
  /** Signs finished pictures; null where nobody does. */
  readonly signer: PictureSigner | null
  readonly log: Logger
  readonly metrics: RunnerMetrics
}

type ImageEvent = Extract<DrawingEvent, { kind: 'image' }>

/** A finished picture, which is encoded while others are still drawn and while it is judged. */
interface Drawn {
  readonly event: ImageEvent
  readonly encoded: Promise<Pick<NewImage, 'image' | 'mask'>>
}
type StepEvent = Extract<DrawingEvent, { kind: 'step' }>

/** Where an attempt is, for whoever has to say why it ended. */
export interface Whereabouts {
  stage: Stage | null
}

/**
 * Walks a generation through its stages to its pictures. Throws Over when it is to end without them, Stopped when this
 * attempt is not to go on, the signal's reason when it is aborted, and otherwise what went wrong.
 */
export async function attempt(
  run: Run,
  context: AttemptContext,
  where: Whereabouts,
  signal: AbortSignal,
): Promise<void> {
  const { store, events, pipeline, safety, subjects, metrics, reviewTimeoutMs } = context
  const log = context.log.child({ generationId: run.id, attempt: run.attempt })
  const {
    request,
    subject: { label },
  } = run
  const stop = new AbortController()
  const going = AbortSignal.any([stop.signal, signal])
  const reports = createReports(events, log)
  const clock = createStepClock(request.steps)
  let { step } = run.checkpoint ?? { step: 0 }
  let etaMs: number | null = null
  let stageBegan = performance.now()

  const stopped = () => new Stopped('the generation was asked to stop, has ended, or another attempt has begun')
  /** Nothing of this attempt goes on once one of its writes has failed, or has done nothing. */
  const writes = createWrites({
    enterStages: (entered) => store.enterStages(run, entered),
    fenced: stopped,
    onStopped: (reason) => stop.abort(reason),
  })
  const previews = createPreviews({
    everySteps: context.previewEverySteps,
    log,
    signal: going,
    judge: (picture) => judge((bounded) => safety.reviewPicture({ picture, label }, bounded), reviewTimeoutMs, going),
    keep: async (pictures) => {
      await writes.settled()
      return store.keepPreviews(run, pictures)
    },
    drop: () => store.dropPreviews(run),
    onChange: () => report(),
  })
  const snapshot = (): Snapshot => ({
    id: run.id,
    attempt: run.attempt,
    status: 'RUNNING',
    stage: where.stage,
    step,
    steps: request.steps,
    imageIndex: 0,
    queuePosition: 0,
    etaMs,
    ...previews.shown,
    time: new Date(),
  })
  const report = () => reports.say(snapshot())
  const leaveStage = () => {
    if (where.stage) metrics.stageEnded(where.stage, performance.now() - stageBegan)
    stageBegan = performance.now()
  }
  const enter = (stage: Stage) => {
    going.throwIfAborted()
    writes.enter(stage)
    leaveStage()
    where.stage = stage
    report()
  }
  /** The finished pictures' masks are those of the last step: they are encoded while the pictures are decoded. */
  let lastPlanes: { readonly mask: GreyImage; readonly encoded: Promise<Uint8Array> }[] = []
  /** Places for the finished pictures, made meanwhile too. */
  let reserved: Promise<readonly Place[] | undefined> | undefined
  const encodedPlane = (mask: GreyImage): Promise<Uint8Array> => {
    const last = lastPlanes.find((one) => Buffer.compare(one.mask.pixels, mask.pixels) === 0)
    if (last) return last.encoded
    const encoded = encodePlane(mask)
    // Why there are no pictures is said first.
    encoded.catch(() => undefined)
    return encoded
  }

  const onStep = async (event: StepEvent) => {
    step = event.step
    if (step === request.steps) {
      lastPlanes = event.masks.map((mask) => ({ mask, encoded: encodedPlane(mask) }))
      // Where that fails, places are made when there is something to be put there.
      reserved = store.reserve(run, request.count).catch(() => undefined)
    }
    etaMs = clock.stepped(step)
    previews.offer(step, event.previews[0]!, event.masks[0]!)
    report()
    await writes.write((entered) => store.keepStep(run, step, null, entered))
  }

  /** Draws to the last picture, from where an earlier attempt was where it left something. */
  const draw = async (subject: Subject): Promise<Drawn[]> => {
    const { widthPx, heightPx } = subject.reference
    const { checkpointEverySteps, decodePreviewEverySteps } = context
    const resume = resumeFrom(run, { widthPx: widthPx / 8, heightPx: heightPx / 8 }, log)
    if (!resume) step = 0
    const options: GenerateOptions = {
      signal: going,
      checkpointEverySteps,
      decodePreviewEverySteps,
      ...(resume ? { resume } : {}),
    }
    const drawn: Drawn[] = []
    for await (const event of pipeline.generate(subject, request, options)) {
      if (event.kind === 'stage' && event.stage !== 'DECODE') enter(event.stage)
      if (event.kind === 'truncated') {
        const { text } = event
        await writes.write((entered) => store.keepUnread(run, text, entered))
      }
      if (event.kind === 'step') await onStep(event)
      if (event.kind === 'checkpoint') {
        const { state } = event
        await writes.write((entered) => store.keepStep(run, state.step, encodeCheckpoint(state), entered))
      }
      if (event.kind === 'image') {
        const encoded = encode(event)
        // Why there are no pictures is said first.
        encoded.catch(() => undefined)
        drawn.push({ event, encoded })
      }
    }
    return drawn
  }

  /** Today's verdict on a subject that another policy let in, or other judges. */
  const admit = (subject: Subject) => {
    const asked = judge((bounded) => safety.reviewSubject(subject, bounded), reviewTimeoutMs, going)
    return review('REVIEW_INPUT', 'the subject', asked, going)
  }

  /** A finished picture with its verdict. What is not allowed goes no further than here. */
  const judged = async ({ event, encoded }: Drawn): Promise<NewImage> => {
    const asked = judge(
      (bounded) => safety.reviewPicture({ picture: event.image, label }, bounded),
      reviewTimeoutMs,
      going,
    )
    const verdict = await review('REVIEW_OUTPUT', 'a finished picture', asked, going)
    return { index: event.index, seed: event.seed, verdict, ...(await encoded) }
  }

  const encode = async ({ image, mask, seed }: ImageEvent): Promise<Pick<NewImage, 'image' | 'mask'>> => {
    const settings = pictureSettings(context.bundle, label, request)
    const encoded = encodeImage(image, 'png', { seed: BigInt(seed), settings })
    const { signer } = context
    const [picture, plane] = await Promise.all([
      signer ? encoded.then((bytes) => signer.sign(bytes)) : encoded,
      encodedPlane(mask),
    ])
    return { image: png(image, picture), mask: png(mask, plane) }
  }

  // Whoever stops a generation says so in its topic; the row decides, at the next step too should this be lost.
  const heard = hear(events, run.id, going, async () => {
    if (await store.isStopped(run)) stop.abort(stopped())
  }).catch((err) => log.debug({ err }, 'cancellation is not heard'))
  try {
    enter('REVIEW_INPUT')
    const { prompt, negativePrompt } = request
    const asked = judge(
      (bounded) => safety.reviewPrompt({ label, prompt, negativePrompt }, bounded),
      reviewTimeoutMs,
      going,
    )
    const reading = readStoredSubject(store, run, subjects, context.sizePx)
    // A request that is rejected is over, whatever there is to draw.
    reading.catch(() => undefined)
    const allowed = await review('REVIEW_INPUT', 'the request', asked, going)
    const subject = await reading
    const admitted = allowed.policyVersion === run.subject.policyVersion ? null : await admit(subject)
    // Drawing need not wait for it: it stops where this can't be written.
    void writes.write((entered) => store.keepVerdicts(run, allowed, admitted, entered))

    const drawn = await draw(subject)

    enter('REVIEW_OUTPUT')
    const pictures: NewImage[] = []
    for (const one of drawn) pictures.push(await judged(one))

    enter('STORE')
    going.throwIfAborted()
    const places = await reserved
    await writes.write((entered) => store.succeed(run, pictures, entered, places))
    // Its end is told: nobody who watches goes back behind it.
    reports.forget()
    leaveStage()
  } catch (error) {
    going.throwIfAborted()
    throw error
  } finally {
    stop.abort(new Stopped('the attempt is over'))
    await Promise.all([previews.settled(), reports.settled(), writes.settled().catch(() => undefined), heard])
  }
}

/** Null to start from noise: nothing was kept, or nothing that can be read. */
function resumeFrom({ checkpoint, request }: Run, latents: { widthPx: number; heightPx: number }, log: Logger) {
  if (!checkpoint) return null
  try {
    const { steps, count } = request
    return decodeCheckpoint(checkpoint.bytes, { steps, count, channels: null, ...latents })
  } catch (err) {
    log.warn({ err }, 'begun anew')
    return null
  }
}

/** Calls back when the topic says that the generation was asked to stop. */
async function hear(events: Events, id: string, signal: AbortSignal, onCanceling: () => Promise<void>): Promise<void> {
  for await (const { cursor, data } of events.subscribe(id, null, signal)) {
    if (decodeProgress(data, cursor)?.progress.status === 'GENERATION_STATUS_CANCELING') await onCanceling()
  }
}
