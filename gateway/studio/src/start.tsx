import { useEffect, useRef, useState } from 'preact/hooks'
import { CreateSubjectDocument } from '../generated/operations'
import { ask, capabilities, thingOf, upload } from './api'
import { useGoOn } from './go-on'
import { MaskEditor } from './mask-editor'
import { Trouble } from './problem'

const examples = Object.entries(
  import.meta.glob<string>('../generated/examples/*.jpg', { eager: true, query: '?url', import: 'default' }),
).map(([path, url]) => ({ name: /(\w+)\.jpg$/.exec(path)![1]!, url }))

/** A photo and its noun become a subject. */
export function Start() {
  const [photo, setPhoto] = useState<{ file: Blob; url: string } | null>(null)
  const [label, setLabel] = useState('')
  const [busy, setBusy] = useState(false)
  const [paints, setPaints] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const example = useRef('')
  const goOn = useGoOn()

  const take = (file: Blob | null | undefined) => {
    if (!file) return
    example.current = ''
    setError(file.type.startsWith('image/') ? null : new Error('This file is no picture: choose a PNG, JPEG or WebP.'))
    if (!file.type.startsWith('image/')) return
    setPhoto({ file, url: URL.createObjectURL(file) })
  }
  const begin = async (name: string, url: string) => {
    example.current = name
    setLabel(name)
    try {
      const file = await (await fetch(url)).blob()
      // Another photo may have been chosen meanwhile.
      if (example.current === name) take(file)
    } catch (fault) {
      setError(fault)
    }
  }
  useEffect(() => () => void (photo && URL.revokeObjectURL(photo.url)), [photo])
  useEffect(() => {
    const paste = (event: ClipboardEvent) => take(event.clipboardData?.files[0])
    addEventListener('paste', paste)
    return () => removeEventListener('paste', paste)
  }, [])

  const create = async (mask: Blob | null) => {
    setBusy(true)
    setError(null)
    try {
      const [uploadId, maskUploadId] = await Promise.all([upload(photo!.file), mask ? upload(mask) : null])
      const { createSubject } = await ask(CreateSubjectDocument, { input: { uploadId, maskUploadId, label } })
      goOn(`#/subject/${thingOf(createSubject).id}`)
    } catch (fault) {
      setError(fault)
      setPaints(false)
    } finally {
      setBusy(false)
    }
  }

  if (paints && photo) {
    return (
      <>
        <h1 tabIndex={-1}>Mark the {label || 'thing'}</h1>
        <MaskEditor key={photo.url} photo={photo.url} mask={null} onDone={create} onCancel={() => setPaints(false)} />
      </>
    )
  }
  return (
    <>
      <h1 tabIndex={-1}>One photo of a thing, new pictures of it</h1>
      <div class="columns">
        <label
          class="drop"
          onDragOver={(event) => event.preventDefault()}
          onDrop={(event) => {
            event.preventDefault()
            take(event.dataTransfer?.files[0])
          }}
        >
          {photo ? <img src={photo.url} alt="Your choice" /> : <span>Drop, paste or choose a photo</span>}
          <input type="file" accept="image/*" aria-label="Photo" onChange={(e) => take(e.currentTarget.files?.[0])} />
        </label>
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault()
            if (capabilities.value?.segmentation) void create(null)
            else setPaints(true)
          }}
        >
          <fieldset>
            <legend>Or begin with one of these</legend>
            <div class="row">
              {examples.map(({ name, url }) => (
                <button key={name} type="button" class="example" onClick={() => begin(name, url)}>
                  <img src={url} alt="" width="96" height="96" />
                  {name}
                </button>
              ))}
            </div>
          </fieldset>
          <label>
            What is it?
            <input
              required
              maxLength={60}
              placeholder="owl"
              value={label}
              onInput={(e) => setLabel(e.currentTarget.value)}
            />
            <small>One noun: things and animals, no persons.</small>
          </label>
          <div class="row">
            <button type="submit" class="primary" disabled={!photo || busy}>
              {busy ? 'Looking …' : 'Find it in the photo'}
            </button>
            <button type="button" disabled={!photo || !label || busy} onClick={() => setPaints(true)}>
              Mark it myself
            </button>
          </div>
          <Trouble error={error} photo={photo?.url} />
        </form>
      </div>
    </>
  )
}
