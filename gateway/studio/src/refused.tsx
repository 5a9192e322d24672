import { useEffect, useState } from 'preact/hooks'
import { ReviewDocument, type ReviewQuery } from '../generated/operations'
import { ask, Refusal } from './api'
import { Delete } from './delete'
import { Trouble } from './problem'

type Review = NonNullable<ReviewQuery['subject']>['safety']

/** A subject that was refused: there is no picture, only why. */
export function Refused({ id }: { id: string }) {
  const [why, setWhy] = useState<unknown>(null)
  useEffect(
    () => void ask(ReviewDocument, { id }).then(({ subject }) => setWhy(refusalOf(subject?.safety)), setWhy),
    [],
  )
  return (
    <div class="stack">
      <p>It was refused, and nothing of its photo is kept.</p>
      <Trouble error={why} />
      <div class="row">
        <Delete id={id} goes="Its name and why it was refused go for good." />
      </div>
    </div>
  )
}

/** As it was given when the subject was made. */
function refusalOf(review: Review | undefined): Refusal | null {
  const [finding] = review?.findings ?? []
  if (!review || !finding) return null
  const { reason: message, detector, score } = finding
  const { policyVersion } = review
  const code = review.decision === 'REJECTED_PERSON' ? 'PERSON_SUBJECT_REJECTED' : 'CONTENT_REJECTED'
  return new Refusal({ code, message, detector, score, policyVersion } as Refusal['problem'])
}
