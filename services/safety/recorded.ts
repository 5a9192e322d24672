import { subjectHash } from '../lib/content-cache.ts'
import type { AuditLog } from './audit-log.ts'
import type { SafetyMetrics } from './metrics.ts'
import type { Safety, SafetyStage, Verdict } from './safety.ts'

/** Judges as `safety` does, with every decision counted and written down before it is given. */
export function recorded(safety: Safety, audit: AuditLog, metrics: SafetyMetrics): Safety {
  const record = async (
    gate: SafetyStage,
    hashes: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
    ask: () => Promise<Verdict>,
  ) => {
    const started = performance.now()
    const elapsedMs = () => Math.round((performance.now() - started) * 10) / 10
    let verdict: Verdict
    try {
      verdict = await ask()
    } catch (error) {
      metrics.failed(gate, error, signal)
      await audit.append({ gate, decision: 'NONE', policyVersion: null, findings: [], hashes, elapsedMs: elapsedMs() })
      throw error
    }
    const { decision, policyVersion } = verdict
    // A finding's reason repeats words of the request.
    const findings = verdict.findings.map(({ detector, score, threshold, region }) => ({
      detector,
      score,
      threshold,
      region,
    }))
    try {
      await audit.append({ gate, decision, policyVersion, findings, hashes, elapsedMs: elapsedMs() })
    } catch (error) {
      metrics.failed(gate, error, signal)
      throw error
    }
    metrics.decided(gate, verdict)
    return verdict
  }
  return {
    reviewSubject: (subject, signal) => {
      const hashes = {
        subject: audit.hash(subjectHash(subject.reference, subject.mask)),
        label: audit.hash(subject.label),
      }
      return record('SUBJECT', hashes, signal, () => safety.reviewSubject(subject, signal))
    },
    reviewPrompt: (words, signal) => {
      const { stage = 'PROMPT', label, prompt } = words
      const hashes = { label: audit.hash(label), ...(stage === 'PROMPT' ? { prompt: audit.hash(prompt) } : {}) }
      return record(stage, hashes, signal, () => safety.reviewPrompt(words, signal))
    },
    reviewPicture: (request, signal) => {
      const hashes = { picture: audit.hash(request.picture.pixels), label: audit.hash(request.label) }
      return record('PICTURE', hashes, signal, () => safety.reviewPicture(request, signal))
    },
  }
}
