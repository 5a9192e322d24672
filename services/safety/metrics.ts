import { Counter, type Registry } from 'prom-client'
import { MeshError } from '../lib/mesh/errors.ts'
import type { SafetyStage, Verdict } from './safety.ts'

/** Counts of what was decided. */
export interface SafetyMetrics {
  decided(gate: SafetyStage, verdict: Verdict): void
  /** There is no verdict: a judge or the log failed, too many were waiting, or whoever asked went away. */
  failed(gate: SafetyStage, error: unknown, signal: AbortSignal | undefined): void
}

/** Counts nothing. */
export const noSafetyMetrics: SafetyMetrics = { decided: () => undefined, failed: () => undefined }

export function createSafetyMetrics(registry: Registry): SafetyMetrics {
  const decisions = new Counter({
    name: 'moma_safety_decisions_total',
    help: 'Decisions by gate, with the judge that decided; none where nothing spoke against it. NONE where no verdict came about: error, full or canceled.',
    labelNames: ['gate', 'decision', 'reason'] as const,
    registers: [registry],
  })
  return {
    decided(gate, { decision, findings }) {
      const reason = decision === 'ALLOWED' ? 'none' : (findings[0]?.detector ?? 'none')
      decisions.inc({ gate, decision, reason })
    },
    failed: (gate, error, signal) => decisions.inc({ gate, decision: 'NONE', reason: whyNone(error, signal) }),
  }
}

function whyNone(error: unknown, signal: AbortSignal | undefined): string {
  if (signal?.aborted) return 'canceled'
  return error instanceof MeshError && error.code === 'RESOURCE_EXHAUSTED' ? 'full' : 'error'
}
