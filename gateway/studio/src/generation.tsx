import { useEffect, useMemo, useState } from 'preact/hooks'
import {
  CancelGenerationDocument,
  CreateGenerationDocument,
  type GenerationPartsFragment,
} from '../generated/operations'
import { apiKey, ask, ownAddress, Refusal, thingOf } from './api'
import { Picture } from './picture'
import { Trouble } from './problem'
import { methodNames } from './settings'
import { hasEnded, watchGeneration } from './watch'

const stages: Readonly<Record<string, string>> = {
  REVIEW_INPUT: 'Reading the words',
  VISION: 'Looking at the photo',
  CONTEXT: 'Thinking of the picture',
  DENOISE: 'Drawing',
  REVIEW_OUTPUT: 'Looking the pictures over',
  STORE: 'Keeping the pictures',
}

/** A generation from its place in the queue to its pictures. */
export function GenerationView({ id, small = false }: { id: string; small?: boolean }) {
  const watched = useMemo(() => watchGeneration(id), [id])
  useEffect(() => () => watched.dispose(), [watched])
  const [overlay, setOverlay] = useState(true)
  const [error, setError] = useState<unknown>(null)
  const generation = watched.generation.value
  const snapshot = watched.snapshot.value
  const fault = generation === null ? 'There is no such generation of yours.' : watched.fault.value
  if (!generation) {
    return (
      <article class="stack">
        {small ? <h2>{awaited(fault)}</h2> : <h1 tabIndex={-1}>{awaited(fault)}</h1>}
        <Trouble error={fault} />
      </article>
    )
  }
  const status = hasEnded(generation.status) ? generation.status : (snapshot?.status ?? generation.status)
  const isOver = hasEnded(status)
  const subject = generation.subject
  const cancel = async () => {
    setError(null)
    try {
      thingOf((await ask(CancelGenerationDocument, { id })).cancelGeneration)
    } catch (reason) {
      setError(reason)
    }
  }

  return (
    <article class="stack" data-status={status}>
      {small ? (
        <h2>
          {methodNames[generation.method]} at {generation.strength}
        </h2>
      ) : (
        <h1 tabIndex={-1}>{generation.prompt}</h1>
      )}
      {!isOver && (
        <>
          <div class="live">
            <Picture
              url={snapshot?.preview?.url ?? subject?.image?.url}
              alt={snapshot?.preview ? 'The picture as it is becoming' : 'The photo it begins with'}
              mask={overlay ? snapshot?.mask?.url : null}
              onShown={(url) => performance.mark('preview-shown', { detail: url })}
            />
          </div>
          <progress max="1" value={snapshot?.fraction ?? generation.progress.fraction} aria-label="Progress" />
          <p class="state" role="status">
            {stateOf(status, snapshot?.stage ?? generation.stage, snapshot?.queuePosition ?? generation.queuePosition)}
          </p>
          <p class="state">
            {snapshot && `Step ${snapshot.step} of ${snapshot.steps}`}
            {snapshot?.etaMs != null && `, about ${Math.ceil(snapshot.etaMs / 1000)} s left`}
            {!watched.connected.value && ' · connection lost, trying again'}
          </p>
          <div class="row">
            <label class="choice">
              <input type="checkbox" checked={overlay} onChange={() => setOverlay(!overlay)} />
              show the mask
            </label>
            <button type="button" onClick={cancel} disabled={status === 'CANCELING'}>
              Cancel
            </button>
          </div>
        </>
      )}
      {generation.unreadPrompt && !small && (
        <p class="note">The prompt is too long: “{generation.unreadPrompt}” was not read. Say less to have it drawn.</p>
      )}
      {status === 'CANCELED' && <p role="status">Canceled before it was done.</p>}
      {generation.problem && <Trouble error={new Refusal(generation.problem as Refusal['problem'])} />}
      <Trouble error={error} />
      {status === 'SUCCEEDED' && (
        <>
          <p role="status" class="state">
            Done: {generation.images.length === 1 ? 'one picture' : `${generation.images.length} pictures`}.
          </p>
          <ul class={small ? 'stack plain' : 'grid results'}>
            {generation.images.map((image) => (
              <li key={image.id} class="stack">
                <Compare
                  reference={subject?.image?.url}
                  picture={image.url}
                  name={`picture ${image.index + 1}: ${generation.prompt}`}
                />
                <a href={ownAddress(image.url)} download={`${subject?.label ?? 'moma'}-${image.seed}.png`}>
                  Download (seed {image.seed})
                </a>
              </li>
            ))}
          </ul>
        </>
      )}
      {isOver && !small && subject && (
        <div class="row">
          <a class="button" href={`#/subject/${subject.id}?${searchOf(generation)}`}>
            Again with …
          </a>
          <Copy name="GraphQL" text={snippet(generation)} />
          <Copy name="curl" text={curl(generation)} />
          <a href={`#/subject/${subject.id}`}>All of this {subject.label}</a>
        </div>
      )}
    </article>
  )
}

/** The heading is there from the start: the focus goes to it. */
const awaited = (fault: string) => (fault ? 'A picture of yours' : 'Loading …')

function stateOf(status: string, stage: string | null | undefined, before: number): string {
  if (status === 'CANCELING') return 'Stopping at its next step'
  if (status === 'QUEUED') return before === 0 ? 'Next in the queue' : `${before} in the queue before it`
  return stages[stage ?? ''] ?? 'Starting'
}

/** The picture over the reference, parted by a slider. */
function Compare({ reference, picture, name }: { reference: string | undefined; picture: string; name: string }) {
  const [share, setShare] = useState(0)
  return (
    <div class="stack">
      <div class="picture">
        <img src={ownAddress(picture)} alt={name} />
        {reference && (
          <img class="over" src={ownAddress(reference)} alt="" style={{ clipPath: `inset(0 ${100 - share}% 0 0)` }} />
        )}
      </div>
      {reference && (
        <label>
          Compare with the photo
          <input type="range" min="0" max="100" value={share} onInput={(e) => setShare(+e.currentTarget.value)} />
        </label>
      )}
    </div>
  )
}

function Copy({ name, text }: { name: string; text: string }) {
  const [state, setState] = useState<'' | 'copied' | 'shown'>('')
  return (
    <>
      <button
        type="button"
        onClick={() =>
          // Pages without TLS may not write to the clipboard.
          Promise.resolve(navigator.clipboard?.writeText(text) ?? Promise.reject()).then(
            () => setState('copied'),
            () => setState('shown'),
          )
        }
      >
        {state === 'copied' ? 'Copied' : `Copy as ${name}`}
      </button>
      {state === 'shown' && <textarea readOnly rows={6} aria-label={`As ${name}`} value={text} />}
    </>
  )
}

/** All that the pictures come of but their subject. */
function settingsOf(generation: GenerationPartsFragment) {
  const { prompt, negativePrompt, task, method, sampler, strength, guidance, steps, seed, count } = generation
  return { prompt, negativePrompt, task, method, sampler, strength, guidance, steps, seed, count }
}

const searchOf = (generation: GenerationPartsFragment) =>
  new URLSearchParams(Object.entries(settingsOf(generation)).map(([name, value]) => [name, String(value)]))

const inputOf = (generation: GenerationPartsFragment) => ({
  input: { subjectId: generation.subject!.id, ...settingsOf(generation) },
})

const document = () =>
  String(CreateGenerationDocument)
    .slice(0, String(CreateGenerationDocument).indexOf('fragment'))
    .replace('...ProblemParts', '... on Problem { code message }')
    .trim()

const snippet = (generation: GenerationPartsFragment) =>
  `${document()}\n\n# variables\n${JSON.stringify(inputOf(generation), null, 2)}`

function curl(generation: GenerationPartsFragment): string {
  const body = JSON.stringify({ query: document(), variables: inputOf(generation) }).replaceAll("'", "'\\''")
  const key = apiKey.value ? ` \\\n  -H "authorization: Bearer $MOMA_KEY"` : ''
  return `curl ${location.origin}/graphql -H 'content-type: application/json'${key} \\\n  -d '${body}'`
}
