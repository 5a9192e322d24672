import { judge } from '../services/generation/judge.ts'
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
  request(words: Parameters<Safety['reviewPrompt']>[0], signal: AbortSignal): Promise<void>
  /** Throws RefusedByPolicy. */
  subject(subject: Parameters<Safety['reviewSubject']>[0], signal: AbortSignal): Promise<void>
  /** Why a picture is not to be seen; null where it may. */
  refusal(picture: RgbImage, label: string, signal: AbortSignal): Promise<string | null>
}

/** For one judgement, the loading of its networks included, which may share few cores with those that draw. */
const judgementMs = 60_000

/** By `MOMA_SAFETY_POLICY` and `MOMA_SAFETY_REQUIRE`, as the service. A rehearsal's networks see nothing: there, words alone are judged. */
export async function openGates(bundle: Bundle, pool: NetworkPool, rehearsal: boolean): Promise<Gates> {
  const { MOMA_SAFETY_POLICY, MOMA_SAFETY_REQUIRE } = readConfig(safetyShape, process.env)
  const { safety, networks } = rehearsal
    ? { safety: createJudge(readPolicy(MOMA_SAFETY_POLICY)), networks: [] }
    : await openSafety(bundle, pool, { policyFile: MOMA_SAFETY_POLICY, require: MOMA_SAFETY_REQUIRE })
  return gatesOf(safety, networks)
}

/** The gates before a judge. One that has not answered within `timeoutMs` has given no verdict. */
export function gatesOf(safety: Safety, networks: readonly Recipe[], timeoutMs = judgementMs): Gates {
  const judged = async (what: string, ask: (signal: AbortSignal) => Promise<Verdict>, signal: AbortSignal) => {
    try {
      return await judge(ask, timeoutMs, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof Error) || error.name !== 'TimeoutError') throw error
      throw new Error(`${what} was not judged within ${timeoutMs} ms, and nothing goes on without a verdict`)
    }
  }
  const pass = (what: string, verdict: Verdict) => {
    const refusal = refusalOf(what, verdict)
    if (refusal !== null) throw new RefusedByPolicy(refusal)
  }
  const [words, photo, drawn] = ['the request', 'the photo', 'a finished picture'] as const
  return {
    networks,
    request: async (asked, signal) =>
      pass(words, await judged(words, (bounded) => safety.reviewPrompt(asked, bounded), signal)),
    subject: async (subject, signal) =>
      pass(photo, await judged(photo, (bounded) => safety.reviewSubject(subject, bounded), signal)),
    refusal: async (picture, label, signal) =>
      refusalOf(drawn, await judged(drawn, (bounded) => safety.reviewPicture({ picture, label }, bounded), signal)),
  }
}

function refusalOf(what: string, { decision, findings, policyVersion }: Verdict): string | null {
  if (decision === 'ALLOWED') return null
  const reason = findings[0]?.reason ?? 'the policy does not allow it'
  const allowed = decision === 'REJECTED_PERSON' ? '; allowed are things' : ''
  return `${what} was rejected: ${reason}${allowed} (policy ${policyVersion})`
}
