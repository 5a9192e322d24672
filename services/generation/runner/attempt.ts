import { decodeCheckpoint, encodeCheckpoint } from '../../denoise/checkpoint.ts'
import type { DrawingEvent } from '../../denoise/drawing.ts'
import { encodeImage } from '../../lib/images/encode.ts'
import { encodePlane } from '../../lib/images/preview.ts'
import type { Events } from '../../lib/mesh/events/events.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import type { Safety } from '../../safety/safety.ts'
import { pictureSettings } from '../picture-settings.ts'
import type { GenerateOptions, Pipeline } from '../pipeline.ts'
import { decodeProgress, type Snapshot } from '../progress.ts'
import { Stopped } from './faults.ts'
import type { RunnerMetrics } from './metrics.ts'
import { createPreviews, png } from './previews.ts'
import { createReports } from './reports.ts'
import { judge, review } from './review.ts'
import type { NewImage, Run, RunStore, Stage } from './run-store.ts'
import { createStepClock } from './step-clock.ts'
import { readStoredSubject } from './stored-subject.ts'

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
  /** Name of the bundle, for the pictures' provenance. */
  readonly bundle: string
  readonly log: Logger
  readonly metrics: RunnerMetrics
}

type ImageEvent = Extract<DrawingEvent, { kind: 'image' }>
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
  const { store, events, pipeline, safety, metrics, reviewTimeoutMs } = context
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

  const stopped = () => {
    const reason = new Stopped('the generation was asked to stop, has ended, or another attempt has begun')
    stop.abort(reason)
    return reason
  }
  /** A write that did nothing says that this attempt is not to go on. */
  const written = (done: boolean) => {
    if (!done) throw stopped()
  }
  const previews = createPreviews({
    everySteps: context.previewEverySteps,
    log,
    signal: going,
    judge: (picture) => judge((bounded) => safety.reviewPicture({ picture, label }, bounded), reviewTimeoutMs, going),
    keep: (kind, asset) => store.keepPreview(run, kind, asset),
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
  const enter = async (stage: Stage) => {
    going.throwIfAborted()
    written(await store.enterStage(run, stage))
    leaveStage()
    where.stage = stage
    report()
  }
  const onStep = async (event: StepEvent) => {
    step = event.step
    etaMs = clock.stepped(step)
    previews.offer(step, event.previews[0]!, event.masks[0]!)
    report()
    written(await store.keepStep(run, step, null))
  }

  /** Draws to the last picture, from where an earlier attempt was where it left something. */
  const draw = async (): Promise<ImageEvent[]> => {
    const subject = await readStoredSubject(store, run)
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
    const images: ImageEvent[] = []
    for await (const event of pipeline.generate(subject, request, options)) {
      if (event.kind === 'stage' && event.stage !== 'DECODE') await enter(event.stage)
      if (event.kind === 'truncated') log.info('the prompt is longer than the text encoder reads')
      if (event.kind === 'step') await onStep(event)
      if (event.kind === 'checkpoint')
        written(await store.keepStep(run, event.state.step, encodeCheckpoint(event.state)))
      if (event.kind === 'image') images.push(event)
    }
    return images
  }

  const judged = async (event: ImageEvent): Promise<Omit<NewImage, 'image' | 'mask'> & { event: ImageEvent }> => {
    const asked = judge(
      (bounded) => safety.reviewPicture({ picture: event.image, label }, bounded),
      reviewTimeoutMs,
      going,
    )
    const verdict = await review('REVIEW_OUTPUT', 'a finished picture', asked, going)
    return { index: event.index, seed: event.seed, verdict, event }
  }

  const newImage = async ({ event, ...rest }: Awaited<ReturnType<typeof judged>>): Promise<NewImage> => {
    const settings = pictureSettings(context.bundle, label, request)
    const bytes = await encodeImage(event.image, 'png', { seed: BigInt(event.seed), settings })
    return { ...rest, image: png(event.image, bytes), mask: png(event.mask, await encodePlane(event.mask)) }
  }

  // Whoever stops a generation says so in its topic; the row decides, at the next step too should this be lost.
  const heard = hear(events, run.id, going, async () => {
    if (await store.isStopped(run)) stopped()
  }).catch((err) => log.debug({ err }, 'cancellation is not heard'))
  try {
    await enter('REVIEW_INPUT')
    const { prompt, negativePrompt } = request
    const asked = judge(
      (bounded) => safety.reviewPrompt({ label, prompt, negativePrompt }, bounded),
      reviewTimeoutMs,
      going,
    )
    await review('REVIEW_INPUT', 'the request', asked, going)

    const images = await draw()

    await enter('REVIEW_OUTPUT')
    const allowed: Awaited<ReturnType<typeof judged>>[] = []
    for (const image of images) allowed.push(await judged(image))

    await enter('STORE')
    const pictures: NewImage[] = []
    for (const image of allowed) pictures.push(await newImage(image))
    going.throwIfAborted()
    await reports.settled()
    written(await store.succeed(run, pictures))
    leaveStage()
  } catch (error) {
    going.throwIfAborted()
    throw error
  } finally {
    stop.abort(new Stopped('the attempt is over'))
    await Promise.all([previews.settled(), reports.settled(), heard])
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
