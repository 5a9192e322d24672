import { Counter, type Registry } from 'prom-client'
import type { SafetyStage, Verdict } from './safety.ts'

/** Counts of what was decided. */
export interface SafetyMetrics {
  decided(gate: SafetyStage, verdict: Verdict): void
  /** There is no verdict: a judge failed. */
  failed(gate: SafetyStage): void
}

export function createSafetyMetrics(registry: Registry): SafetyMetrics {
  const decisions = new Counter({
    name: 'moma_safety_decisions_total',
    help: 'Decisions by gate, with the judge that decided; none where nothing spoke against it, NONE where no verdict came about.',
    labelNames: ['gate', 'decision', 'reason'] as const,
    registers: [registry],
  })
  return {
    decided(gate, { decision, findings }) {
      const reason = decision === 'ALLOWED' ? 'none' : (findings[0]?.detector ?? 'none')
      decisions.inc({ gate, decision, reason })
    },
    failed: (gate) => decisions.inc({ gate, decision: 'NONE', reason: 'error' }),
  }
}
