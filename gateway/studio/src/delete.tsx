import { useEffect, useRef, useState } from 'preact/hooks'
import { DeleteSubjectDocument } from '../generated/operations'
import { ask, thingOf } from './api'
import { useGoOn } from './go-on'
import { Trouble } from './problem'

/** Deletes a subject once its owner, told what goes with it, says so again. */
export function Delete({ id, goes }: { id: string; goes: string }) {
  const [asks, setAsks] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const opener = useRef<HTMLButtonElement>(null)
  const keeper = useRef<HTMLButtonElement>(null)
  const goOn = useGoOn()
  // By keyboard one is at the question at once, and where one was once it is answered.
  useEffect(() => keeper.current?.focus(), [asks])
  const keep = () => {
    opener.current?.focus()
    setAsks(false)
  }
  const remove = async () => {
    setError(null)
    try {
      thingOf((await ask(DeleteSubjectDocument, { id })).deleteSubject)
      goOn('#/things')
    } catch (fault) {
      setError(fault)
    }
  }
  return (
    <>
      <button ref={opener} type="button" onClick={() => setAsks(true)}>
        Delete
      </button>
      {asks && (
        <div class="trouble" role="alertdialog" aria-label="Delete this thing">
          <p>{goes}</p>
          <div class="row">
            <button type="button" class="primary" onClick={remove}>
              Delete it all
            </button>
            <button ref={keeper} type="button" onClick={keep}>
              Keep it
            </button>
          </div>
        </div>
      )}
      <Trouble error={error} />
    </>
  )
}
