import type { z } from 'zod'
import { setting } from '../../services/lib/mesh/config.ts'
import type { Events } from '../../services/lib/mesh/events/events.ts'
import { createMemoryEvents } from '../../services/lib/mesh/events/memory-events.ts'
import type { Jobs } from '../../services/lib/mesh/jobs/jobs.ts'
import { createMemoryJobs } from '../../services/lib/mesh/jobs/memory-jobs.ts'
import type { Logger } from '../../services/lib/mesh/log.ts'

export const queuesShape = {
  /** Without it, jobs and events stay inside the process. */
  NATS_URL: setting('nats://host:port', (text) => (/^(nats|tls):\/\/\S+$/.test(text) ? text : null)).optional(),
}

export interface Queues extends AsyncDisposable {
  readonly jobs: Jobs
  readonly events: Events
}

/** Jobs and events over NATS, or inside this process. */
export async function openQueues(_config: z.infer<z.ZodObject<typeof queuesShape>>, _log: Logger): Promise<Queues> {
  await using opened = new AsyncDisposableStack()
  const jobs = opened.use(createMemoryJobs())
  const events = opened.use(createMemoryEvents())
  const kept = opened.move()
  return { jobs, events, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
