import { useEffect, useState } from 'preact/hooks'
import {
  CreateSubjectDocument,
  DeleteSubjectDocument,
  GenerationsDocument,
  SubjectDocument,
  type SubjectPartsFragment,
} from '../generated/operations'
import { ask, ownAddress, thingOf, upload } from './api'
import { Delete } from './delete'
import { EndlessList } from './endless-list'
import { useGoOn } from './go-on'
import { MaskEditor } from './mask-editor'
import { Picture } from './picture'
import { Trouble } from './problem'
import { Refused } from './refused'
import { Settings } from './settings'

/** A subject, or that it was refused. It is one subject's for good: another's needs another key. */
export function SubjectView({ id, from }: { id: string; from: URLSearchParams }) {
  const [subject, setSubject] = useState<SubjectPartsFragment | null>(null)
  const [error, setError] = useState<unknown>(null)
  useEffect(() => {
    ask(SubjectDocument, { id }).then(({ subject: found }) => {
      setSubject(found ?? null)
      if (!found) setError(new Error('There is no such thing of yours; it may have been deleted.'))
    }, setError)
  }, [])
  const isKept = subject?.image && subject.mask
  return (
    <>
      {/* It is there from the start: the focus goes to it. */}
      <h1 tabIndex={-1}>{subject ? `Your ${subject.label}` : error ? 'A thing of yours' : 'Loading …'}</h1>
      <Trouble error={error} />
      {isKept && <Kept subject={subject} photo={subject.image!.url} mask={subject.mask!.url} from={from} />}
      {subject && !isKept && <Refused id={id} />}
    </>
  )
}

/** Its mask, what to draw of it, what was drawn. */
function Kept(props: { subject: SubjectPartsFragment; photo: string; mask: string; from: URLSearchParams }) {
  const { photo, mask, from } = props
  const { id, label } = props.subject
  const [edits, setEdits] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const goOn = useGoOn()

  // A mask belongs to its subject for good: another mask makes another subject of the same photo.
  const useMask = async (corrected: Blob) => {
    setError(null)
    try {
      const file = await (await fetch(ownAddress(photo))).blob()
      const [uploadId, maskUploadId] = await Promise.all([upload(file), upload(corrected)])
      const input = { uploadId, maskUploadId, label }
      const made = thingOf((await ask(CreateSubjectDocument, { input })).createSubject)
      const { generations } = await ask(GenerationsDocument, { subjectId: id })
      if (generations.nodes.length === 0) await ask(DeleteSubjectDocument, { id })
      setEdits(false)
      goOn(`#/subject/${made.id}`)
    } catch (fault) {
      setError(fault)
    }
  }

  return (
    <>
      <Trouble error={error} />
      <div class="columns">
        <div class="stack">
          {edits ? (
            <MaskEditor
              photo={ownAddress(photo)}
              mask={ownAddress(mask)}
              onDone={useMask}
              onCancel={() => setEdits(false)}
            />
          ) : (
            <>
              <Picture url={photo} mask={mask} alt={`Photo of the ${label}, its mask tinted`} />
              <div class="row">
                <button type="button" onClick={() => setEdits(true)}>
                  Correct the mask
                </button>
                <Delete id={id} goes="Its photo and every picture of it go for good." />
              </div>
            </>
          )}
        </div>
        <Settings key={`${from}`} subjectId={id} label={label} from={from} />
      </div>
      <h2>Drawn of it</h2>
      <EndlessList
        empty="Nothing yet."
        load={async (after) => (await ask(GenerationsDocument, { subjectId: id, after })).generations}
        show={(generation) => (
          <a class="card" href={`#/generation/${generation.id}`}>
            <Picture url={generation.images[0]?.url ?? undefined} alt="" />
            {generation.prompt}
            <small>{generation.status.toLowerCase()}</small>
          </a>
        )}
      />
    </>
  )
}
