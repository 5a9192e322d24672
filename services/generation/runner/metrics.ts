import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { Stage } from './run-store.ts'

/** How an attempt came to its end. */
export type Outcome = 'SUCCEEDED' | 'FAILED' | 'REJECTED' | 'CANCELED' | 'FENCED' | 'AGAIN'

export interface RunnerMetrics {
  attemptEnded(outcome: Outcome): void
  stageEnded(stage: Stage, elapsedMs: number): void
  running(count: number): void
}

export function createRunnerMetrics(registry: Registry): RunnerMetrics {
  const attempts = new Counter({
    name: 'moma_generation_attempts_total',
    help: 'Attempts at generations that have ended, by how.',
    labelNames: ['outcome'] as const,
    registers: [registry],
  })
  const stages = new Histogram({
    name: 'moma_generation_stage_seconds',
    help: 'Time that a generation spent in a stage, of one attempt.',
    labelNames: ['stage'] as const,
    buckets: [0.01, 0.05, 0.2, 1, 5, 20, 60, 300, 1800],
    registers: [registry],
  })
  const running = new Gauge({
    name: 'moma_generations_running',
    help: 'Generations that this process works on now.',
    registers: [registry],
  })
  return {
    attemptEnded: (outcome) => attempts.inc({ outcome }),
    stageEnded: (stage, elapsedMs) => stages.observe({ stage }, elapsedMs / 1000),
    running: (count) => running.set(count),
  }
}

export const noMetrics: RunnerMetrics = {
  attemptEnded: () => undefined,
  stageEnded: () => undefined,
  running: () => undefined,
}
