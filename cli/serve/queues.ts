import { setTimeout as sleep } from 'node:timers/promises'
import type { z } from 'zod'
import { setting } from '../../services/lib/mesh/config.ts'
import { MeshError } from '../../services/lib/mesh/errors.ts'
import type { Events } from '../../services/lib/mesh/events/events.ts'
import type { Jobs } from '../../services/lib/mesh/jobs/jobs.ts'
import type { Logger } from '../../services/lib/mesh/log.ts'
import type { Nats } from '../../services/lib/mesh/nats.ts'

export const queuesShape = {
  /** Without it, jobs and events stay inside the process. */
  NATS_URL: setting('nats://host:port or tls://host:port', (text) =>
    /^(nats|tls):\/\/\S+$/.test(text) ? text : null,
  ).optional(),
  /** Copies of each stream in a cluster. Without it the server makes one, and streams that are there keep what they have. */
  MOMA_NATS_REPLICAS: setting('1, 3 or 5', (text) => (/^[135]$/.test(text) ? Number(text) : null)).optional(),
}

export interface Queues extends AsyncDisposable {
  readonly jobs: Jobs
  readonly events: Events
}

/** How long a NATS that is not there yet is waited for, and how often it is looked for. */
const natsWaitMs = { all: 30_000, each: 500 }

/**
 * Jobs and events over NATS, or inside this process. Throws UNAVAILABLE where no NATS answers in time, and
 * FAILED_PRECONDITION where it is too old or has no JetStream.
 */
export async function openQueues(config: z.infer<z.ZodObject<typeof queuesShape>>, log: Logger): Promise<Queues> {
  await using opened = new AsyncDisposableStack()
  const { jobs, events } = config.NATS_URL
    ? await overNats(config.NATS_URL, config.MOMA_NATS_REPLICAS, opened, log)
    : await inProcess(opened)
  const kept = opened.move()
  return { jobs, events, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}

async function inProcess(opened: AsyncDisposableStack): Promise<Pick<Queues, 'jobs' | 'events'>> {
  const { createMemoryEvents } = await import('../../services/lib/mesh/events/memory-events.ts')
  const { createMemoryJobs } = await import('../../services/lib/mesh/jobs/memory-jobs.ts')
  return { jobs: opened.use(createMemoryJobs()), events: opened.use(createMemoryEvents()) }
}

async function overNats(
  url: string,
  replicas: number | undefined,
  opened: AsyncDisposableStack,
  log: Logger,
): Promise<Pick<Queues, 'jobs' | 'events'>> {
  const { createNatsEvents } = await import('../../services/lib/mesh/events/nats-events.ts')
  const { createNatsJobs } = await import('../../services/lib/mesh/jobs/nats-jobs.ts')
  const nats = opened.use(await connectPatiently(url, log))
  return {
    jobs: opened.use(await createNatsJobs({ nats, log, replicas })),
    events: opened.use(await createNatsEvents({ nats, log, replicas })),
  }
}

async function connectPatiently(url: string, log: Logger): Promise<Nats> {
  const { connectNats } = await import('../../services/lib/mesh/nats.ts')
  for (const end = performance.now() + natsWaitMs.all; ; await sleep(natsWaitMs.each)) {
    try {
      return await connectNats({ url, log })
    } catch (error) {
      const isAway = error instanceof MeshError && error.code === 'UNAVAILABLE'
      if (!isAway || performance.now() > end) throw error
      log.info('waiting for NATS')
    }
  }
}
