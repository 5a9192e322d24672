import { setTimeout as sleep } from 'node:timers/promises'
import type { Settings } from '../../lib/bundles/manifest.ts'
import { createContentCache } from '../../lib/content-cache.ts'
import type { PictureSigner } from '../../lib/images/content-credentials.ts'
import type { Events } from '../../lib/mesh/events/events.ts'
import type { Job, Jobs } from '../../lib/mesh/jobs/jobs.ts'
import { type Logger, silentLogger, withCallFields } from '../../lib/mesh/log.ts'
import type { Safety } from '../../safety/safety.ts'
import type { Services } from '../pipeline.ts'
import { createPipeline, featureBytes } from '../pipeline.ts'
import { type AttemptContext, type AttemptSettings, attempt, type Whereabouts } from './attempt.ts'
import { faultReason, isPassing, Over, Stopped } from './faults.ts'
import { noMetrics, type Outcome, type RunnerMetrics } from './metrics.ts'
import type { Run, RunStore } from './run-store.ts'
import { pictureBytes } from './stored-subject.ts'

export interface RunnerSettings extends AttemptSettings {
  /** Generations at once in this process. */
  readonly concurrency: number
  /** As the store's, without getting further in between: the last one ends a generation with the reason that stopped it. */
  readonly maxAttempts: number
  /** Signs of life for a job. */
  readonly workingEveryMs: number
  /** All that is unfinished is put into the queue again, at start and then. */
  readonly sweepEveryMs: number
  /** Wait before another attempt, doubled for each one up to the largest. */
  readonly retryMs: { readonly first: number; readonly largest: number }
  /** How long generations under way may take to finish once the runner is to end. */
  readonly drainMs: number
  /** Of patch features and context embeddings. */
  readonly cacheBytes: number
  /** Of subjects' decoded pictures. */
  readonly subjectCacheBytes: number
}

export const defaultRunnerSettings: RunnerSettings = {
  checkpointEverySteps: 5,
  previewEverySteps: 5,
  decodePreviewEverySteps: 0,
  reviewTimeoutMs: 10_000,
  concurrency: 1,
  maxAttempts: 5,
  workingEveryMs: 10_000,
  sweepEveryMs: 30_000,
  retryMs: { first: 1000, largest: 30_000 },
  drainMs: 30_000,
  cacheBytes: 2 ** 28,
  subjectCacheBytes: 2 ** 26,
}

export interface RunnerOptions {
  readonly jobs: Jobs
  readonly events: Events
  readonly store: RunStore
  readonly services: Services & { readonly safety: Safety }
  readonly bundle: { readonly name: string; readonly settings: Pick<Settings, 'ipAdapterScale' | 'sizePx'> }
  readonly settings?: Partial<RunnerSettings>
  /** Signs finished pictures; without one they are not signed. */
  readonly signer?: PictureSigner | null
  readonly log?: Logger
  readonly metrics?: RunnerMetrics
}

export interface Runner {
  /** Ids of the generations that are worked on now. */
  readonly running: readonly string[]
  /**
   * Takes no more jobs and lets those under way finish for `drainMs`; what is left goes back into the queue, to go on
   * from its checkpoint elsewhere. May be called again.
   */
  dispose(): Promise<void>
}

/** The job of a generation that is worked on here already comes again after this long. */
const elsewhereMs = 5000

/** Takes generations from the queue and walks each through its stages, until it is disposed. */
export function createRunner({ jobs, events, store, services, bundle, ...options }: RunnerOptions): Runner {
  const settings = { ...defaultRunnerSettings, ...options.settings }
  const { log = silentLogger, metrics = noMetrics, signer = null } = options
  const { vision, context, drawing, safety } = services
  const pipeline = createPipeline(
    { vision, context, drawing },
    bundle.settings,
    createContentCache(settings.cacheBytes, featureBytes),
  )
  const attemptContext: AttemptContext = {
    ...settings,
    store,
    events,
    pipeline,
    safety,
    subjects: createContentCache(settings.subjectCacheBytes, pictureBytes),
    bundle: bundle.name,
    sizePx: bundle.settings.sizePx,
    signer,
    log,
    metrics,
  }
  const running = new Set<string>()
  /** First no more jobs, then no more work. */
  const draining = new AbortController()
  const ending = new AbortController()
  let disposing: Promise<void> | undefined

  const retryDelayMs = (faults: number) =>
    Math.min(settings.retryMs.first * 2 ** (faults - 1), settings.retryMs.largest)

  /** Works on a begun run; answers how it came out, or throws when not even that could be written. */
  const work = async (run: Run): Promise<Outcome> => {
    const where: Whereabouts = { stage: null }
    try {
      await attempt(run, attemptContext, where, ending.signal)
      return 'SUCCEEDED'
    } catch (error) {
      if (ending.signal.aborted) {
        // Where that can't be written, it counts as a fault.
        await store.handBack(run).catch((err) => log.warn({ err, generationId: run.id }, 'not handed back'))
        return 'AGAIN'
      }
      // It ends as CANCELED where that was asked for; where a newer attempt has begun this does nothing.
      if (error instanceof Stopped) return (await store.end(run, 'CANCELED', null)) ? 'CANCELED' : 'FENCED'
      if (error instanceof Over) return (await store.end(run, error.status, error.reason)) ? error.status : 'FENCED'
      // Where they can't be counted now, they are when it is begun the next time.
      const again = isPassing(error) && (await store.countFaults(run).catch(() => 0)) < settings.maxAttempts
      log.warn({ err: error, generationId: run.id, attempt: run.attempt, stage: where.stage, again }, 'attempt failed')
      if (again) return 'AGAIN'
      return (await store.end(run, 'FAILED', faultReason(error, where.stage))) ? 'FAILED' : 'FENCED'
    }
  }

  const take = async (job: Job): Promise<void> => {
    // Another delivery of what is worked on here: beginning it would fence that off.
    if (running.has(job.id)) return job.again(elsewhereMs)
    running.add(job.id)
    metrics.running(running.size)
    const alive = setInterval(() => job.working(), settings.workingEveryMs)
    let faults = job.delivery
    try {
      const run = await store.begin(job.id)
      if (!run) return await job.done()
      faults = run.faults
      const outcome = await withCallFields({ generationId: run.id }, () => work(run))
      metrics.attemptEnded(outcome)
      log.info({ generationId: run.id, attempt: run.attempt, outcome }, 'attempt ended')
      // A fenced one's job is the newer attempt's now.
      if (outcome === 'FENCED') return
      if (outcome === 'AGAIN') await job.again(ending.signal.aborted ? 0 : retryDelayMs(faults))
      else await job.done()
    } catch (err) {
      log.error({ err, generationId: job.id }, 'the system of record can not be reached')
      await job.again(retryDelayMs(faults))
    } finally {
      clearInterval(alive)
      running.delete(job.id)
      metrics.running(running.size)
    }
  }

  const loop = async () => {
    for (;;) {
      const job = await jobs.next(draining.signal)
      if (!job) return
      await take(job)
    }
  }

  /** What was lost on the way — a queue with its store, a row whose job was never added — is found here. */
  const sweep = async () => {
    while (!draining.signal.aborted) {
      try {
        for await (const id of store.unfinished()) {
          if (draining.signal.aborted) break
          if (!running.has(id)) await jobs.add(id)
        }
      } catch (err) {
        log.warn({ err }, 'what is unfinished could not be put into the queue again')
      }
      await sleep(settings.sweepEveryMs, undefined, { signal: draining.signal, ref: false }).catch(() => undefined)
    }
  }

  const loops = [sweep(), ...Array.from({ length: settings.concurrency }, loop)]

  return {
    get running() {
      return [...running]
    },
    dispose() {
      disposing ??= (async () => {
        draining.abort()
        const timer = setTimeout(() => ending.abort(new Stopped('the runner is shutting down')), settings.drainMs)
        await Promise.all(loops)
        clearTimeout(timer)
      })()
      return disposing
    },
  }
}
