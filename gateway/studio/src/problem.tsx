import { type Problem, Refusal } from './api'

const advice: Readonly<Record<string, string>> = {
  INVALID_INPUT: 'Change that value and try again.',
  NOT_FOUND: 'It may have been deleted; go back to your things.',
  CONFLICT: 'Start it anew.',
  LIMIT_EXCEEDED: 'Make it smaller, or wait until others are done.',
  PERSON_SUBJECT_REJECTED:
    'The method draws things and animals and leaves persons out by design. Choose another photo or name.',
  CONTENT_REJECTED: 'This is not drawn here. Say it in another way, or choose another photo.',
  FAILED: 'The fault is ours. Try it again in a moment.',
}

const percent = (share: number) => `${Math.round(share * 100)} %`

/** What went wrong and what to do, kindly; with the photo, the place in it. */
export function Trouble({ error, photo }: { error: unknown; photo?: string | undefined }) {
  if (!error) return null
  const problem: Problem | null = error instanceof Refusal ? error.problem : null
  const isRefusal = problem?.code === 'PERSON_SUBJECT_REJECTED' || problem?.code === 'CONTENT_REJECTED'
  const found = problem as Found | null
  const region = found?.region
  return (
    <div class="trouble" role="alert" data-code={problem?.code}>
      <strong>{isRefusal ? 'This one stays undrawn' : 'That did not work'}</strong>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {isRefusal && found?.detector && (
        <p>
          Seen by {found.detector}
          {typeof found.score === 'number' && `, ${percent(found.score)} sure`}
          {region && photo ? ', in the marked part.' : '.'}
        </p>
      )}
      {region && photo && (
        <div class="region">
          <img src={photo} alt="The photo, the refused part marked" />
          <span
            style={{
              left: percent(region.left),
              top: percent(region.top),
              width: percent(region.width),
              height: percent(region.height),
            }}
          />
        </div>
      )}
      <p>{problem ? advice[problem.code] : 'Try it again.'}</p>
      {isRefusal && found?.policyVersion && <small>Decided by the policy {found.policyVersion}.</small>}
    </div>
  )
}

/** What a refusal says of itself. */
interface Found {
  readonly detector?: string | null
  readonly score?: number | null
  readonly policyVersion?: string | null
  readonly region?: Region | null
}

interface Region {
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
}
