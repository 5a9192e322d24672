import { useEffect, useState } from 'preact/hooks'
import {
  CreateSubjectDocument,
  DeleteSubjectDocument,
  GenerationsDocument,
  SubjectDocument,
  type SubjectPartsFragment,
} from '../generated/operations'
import { ask, ownAddress, thingOf, upload } from './api'
import { EndlessList } from './endless-list'
import { MaskEditor } from './mask-editor'
import { Picture } from './picture'
import { Trouble } from './problem'
import { Settings } from './settings'

/** A subject: its mask, what to draw of it, what was drawn. */
export function SubjectView({ id, from }: { id: string; from: URLSearchParams }) {
  const [subject, setSubject] = useState<SubjectPartsFragment | null>(null)
  const [edits, setEdits] = useState(false)
  const [asks, setAsks] = useState(false)
  const [error, setError] = useState<unknown>(null)
  useEffect(() => {
    ask(SubjectDocument, { id }).then(({ subject: found }) => {
      setSubject(found ?? null)
      if (!found) setError(new Error('There is no such thing of yours; it may have been deleted.'))
    }, setError)
  }, [id])
  if (!subject?.image || !subject.mask) return <Trouble error={error} />
  const photo = ownAddress(subject.image.url)

  // A mask belongs to its subject for good: another mask makes another subject of the same photo.
  const useMask = async (mask: Blob) => {
    try {
      const [uploadId, maskUploadId] = await Promise.all([upload(await (await fetch(photo)).blob()), upload(mask)])
      const input = { uploadId, maskUploadId, label: subject.label }
      const made = thingOf((await ask(CreateSubjectDocument, { input })).createSubject)
      const { generations } = await ask(GenerationsDocument, { subjectId: id })
      if (generations.nodes.length === 0) await ask(DeleteSubjectDocument, { id })
      setEdits(false)
      location.hash = `#/subject/${made.id}`
    } catch (fault) {
      setError(fault)
    }
  }
  const remove = async () => {
    try {
      thingOf((await ask(DeleteSubjectDocument, { id })).deleteSubject)
      location.hash = '#/things'
    } catch (fault) {
      setError(fault)
    }
  }

  return (
    <>
      <h1 tabIndex={-1}>Your {subject.label}</h1>
      <Trouble error={error} />
      <div class="columns">
        <div class="stack">
          {edits ? (
            <MaskEditor
              photo={photo}
              mask={ownAddress(subject.mask.url)}
              onDone={useMask}
              onCancel={() => setEdits(false)}
            />
          ) : (
            <>
              <Picture
                url={subject.image.url}
                mask={subject.mask.url}
                alt={`Photo of the ${subject.label}, its mask tinted`}
              />
              <div class="row">
                <button type="button" onClick={() => setEdits(true)}>
                  Correct the mask
                </button>
                <button type="button" onClick={() => setAsks(true)} disabled={asks}>
                  Delete
                </button>
              </div>
              {asks && (
                <div class="trouble" role="alertdialog" aria-label="Delete this thing">
                  <p>Its photo and every picture of it go for good.</p>
                  <div class="row">
                    <button type="button" class="primary" onClick={remove}>
                      Delete it all
                    </button>
                    <button type="button" onClick={() => setAsks(false)}>
                      Keep it
                    </button>
                  </div>
                </div>
              )}
            </>
          )}
        </div>
        <Settings key={`${id}?${from}`} subjectId={id} label={subject.label} from={from} />
      </div>
      <h2>Drawn of it</h2>
      <EndlessList
        key={id}
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
