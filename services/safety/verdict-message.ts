import { MeshError } from '../lib/mesh/errors.ts'
import { valueFor } from '../lib/mesh/fields.ts'
import type { Verdict__Output, Verdict as VerdictMessage } from '../lib/mesh/generated/moma/safety/v1/Verdict.ts'
import type { Decision, Finding, SafetyStage, Verdict } from './safety.ts'

const decisions = {
  DECISION_ALLOWED: 'ALLOWED',
  DECISION_REJECTED_PERSON: 'REJECTED_PERSON',
  DECISION_REJECTED_CONTENT: 'REJECTED_CONTENT',
} as const satisfies Record<string, Decision>

const stages = {
  STAGE_SUBJECT: 'SUBJECT',
  STAGE_PROMPT: 'PROMPT',
  STAGE_PICTURE: 'PICTURE',
} as const satisfies Record<string, SafetyStage>

export function verdictMessage({ decision, findings, policyVersion }: Verdict): VerdictMessage {
  return {
    decision: valueFor(decisions, decision),
    findings: findings.map((finding) => ({ ...finding, stage: valueFor(stages, finding.stage) })),
    policyVersion,
  }
}

/** Anything but a whole verdict throws INTERNAL: a decision that is not understood is none. */
export function readVerdict(message: Verdict__Output | null): Verdict {
  if (!message) throw notUnderstood()
  const { decision, findings, policyVersion } = message
  return {
    decision: known(decisions, decision),
    findings: findings.map(({ stage, detector, reason, score, threshold, region }) => ({
      stage: known(stages, stage),
      detector,
      reason,
      ...rounded({ score, threshold, region }),
    })),
    policyVersion,
  }
}

/** What a finding says in numbers, to four digits: a float that travelled is 0.29899999499320984 for 0.299. */
export function rounded({ score, threshold, region }: Measured): Measured {
  const sides = region && {
    left: short(region.left),
    top: short(region.top),
    width: short(region.width),
    height: short(region.height),
  }
  return { score: short(score), threshold: short(threshold), region: sides }
}

type Measured = Pick<Finding, 'score' | 'threshold' | 'region'>

const short = (share: number) => Math.round(share * 1e4) / 1e4

function known<Word extends string>(words: Readonly<Record<string, Word>>, value: string): Word {
  const word = Object.hasOwn(words, value) ? words[value] : undefined
  if (word === undefined) throw notUnderstood()
  return word
}

const notUnderstood = () => new MeshError('INTERNAL', 'safety answered no verdict that is understood')
