import { Gauge, type Registry } from 'prom-client'

/** Shows what waits in the system of record: every copy that sweeps shows the same, so one asks for the largest. */
export interface QueueMetrics {
  /** How many generations wait, and since when the oldest does; null where none does. */
  waiting(count: number, since: Date | null): void
}

/** `now`: of the clock that `since` is of. */
export function createQueueMetrics(registry: Registry, now = () => new Date()): QueueMetrics {
  const registers = [registry]
  let oldest: Date | null = null
  const queued = new Gauge({ name: 'moma_generations_queued', help: 'Generations that wait to be begun.', registers })
  new Gauge({
    name: 'moma_generations_oldest_wait_seconds',
    help: 'How long the oldest of them has waited; 0 where none waits.',
    registers,
    // It goes on growing while the database can't be asked.
    collect() {
      this.set(oldest === null ? 0 : Math.max(0, now().getTime() - oldest.getTime()) / 1000)
    },
  })
  return {
    waiting(count, since) {
      queued.set(count)
      oldest = since
    },
  }
}

export const noQueueMetrics: QueueMetrics = { waiting: () => undefined }
