import type { Bundle } from '../services/lib/bundles/bundles.ts'
import type { RgbImage } from '../services/lib/images/image.ts'
import { readConfig } from '../services/lib/mesh/config.ts'
import type { NetworkPool } from '../services/lib/runtime/pool.ts'
import type { Recipe } from '../services/lib/runtime/recipe.ts'
import { safetyShape } from '../services/safety/config.ts'
import { createJudge } from '../services/safety/judge.ts'
import { openSafety } from '../services/safety/open.ts'
import { readPolicy } from '../services/safety/policy/policy.ts'
import type { Safety, Verdict } from '../services/safety/safety.ts'
import { RefusedByPolicy } from './refused-by-policy.ts'

/** The safety service's three gates before what is drawn in this process. Without a verdict they throw what kept it from being had. */
export interface Gates {
  /** All that may look. */
  readonly networks: readonly Recipe[]
  /** Throws RefusedByPolicy. */
  request(words: Parameters<Safety['reviewPrompt']>[0]): Promise<void>
  /** Throws RefusedByPolicy. */
  subject(subject: Parameters<Safety['reviewSubject']>[0], signal: AbortSignal): Promise<void>
  /** Why a picture is not to be seen; null where it may. */
  refusal(picture: RgbImage, label: string, signal: AbortSignal): Promise<string | null>
}

/** By `MOMA_SAFETY_POLICY` and `MOMA_SAFETY_REQUIRE`, as the service. A rehearsal's networks see nothing: there, words alone are judged. */
export async function openGates(bundle: Bundle, pool: NetworkPool, rehearsal: boolean): Promise<Gates> {
  const { MOMA_SAFETY_POLICY, MOMA_SAFETY_REQUIRE } = readConfig(safetyShape, process.env)
  const { safety, networks } = rehearsal
    ? { safety: createJudge(readPolicy(MOMA_SAFETY_POLICY)), networks: [] }
    : await openSafety(bundle, pool, { policyFile: MOMA_SAFETY_POLICY, require: MOMA_SAFETY_REQUIRE })
  const pass = (what: string, verdict: Verdict) => {
    const refusal = refusalOf(what, verdict)
    if (refusal !== null) throw new RefusedByPolicy(refusal)
  }
  return {
    networks,
    request: async (words) => pass('the request', await safety.reviewPrompt(words)),
    subject: async (subject, signal) => pass('the photo', await safety.reviewSubject(subject, signal)),
    refusal: async (picture, label, signal) =>
      refusalOf('a finished picture', await safety.reviewPicture({ picture, label }, signal)),
  }
}

function refusalOf(what: string, { decision, findings, policyVersion }: Verdict): string | null {
  if (decision === 'ALLOWED') return null
  const reason = findings[0]?.reason ?? 'the policy does not allow it'
  const allowed = decision === 'REJECTED_PERSON' ? '; allowed are things' : ''
  return `${what} was rejected: ${reason}${allowed} (policy ${policyVersion})`
}
