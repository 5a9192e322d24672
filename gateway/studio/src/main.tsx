import { signal } from '@preact/signals'
import { render } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { SubjectsDocument } from '../generated/operations'
import { apiKey, ask, capabilities, keyNeeded, loadCapabilities, useKey } from './api'
import { EndlessList } from './endless-list'
import { GenerationView } from './generation'
import { Picture } from './picture'
import { Trouble } from './problem'
import { Start } from './start'
import './studio.css'
import { SubjectView } from './subject'

const hash = signal(location.hash)
addEventListener('hashchange', () => {
  hash.value = location.hash
  scrollTo(0, 0)
})

const themes = ['system', 'light', 'dark'] as const

function App() {
  const [error, setError] = useState<unknown>(null)
  const [theme, setTheme] = useState(localStorage.getItem('moma-theme') ?? 'system')
  const needsKey = keyNeeded.value
  useEffect(() => {
    if (!needsKey) loadCapabilities().then(() => setError(null), setError)
  }, [needsKey])
  useEffect(() => {
    document.documentElement.dataset.theme = theme
    localStorage.setItem('moma-theme', theme)
  }, [theme])
  // Whoever changes the view by keyboard goes on at its heading.
  useEffect(() => document.querySelector<HTMLElement>('main h1')?.focus(), [hash.value])
  return (
    <>
      <header class="bar">
        <a class="brand" href="#/">
          MoMA studio
        </a>
        <nav aria-label="Main">
          <a href="#/">New</a>
          <a href="#/things">Your things</a>
        </nav>
        <label class="choice">
          Colours
          <select value={theme} onChange={(e) => setTheme(e.currentTarget.value)}>
            {themes.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </header>
      <main>
        {capabilities.value?.bundle === 'moma-toy' && (
          <p class="note">The bundle moma-toy is random numbers: its masks and pictures are noise.</p>
        )}
        {needsKey ? <AskForKey /> : capabilities.value ? <View /> : <Trouble error={error} />}
      </main>
    </>
  )
}

function View() {
  const [path = '', search = ''] = hash.value.slice(1).split('?')
  const [, view, id = ''] = path.split('/')
  if (view === 'subject') return <SubjectView key={id} id={id} from={new URLSearchParams(search)} />
  if (view === 'generation') return <GenerationView key={id} id={id} />
  if (view === 'beside') {
    return (
      <>
        <h1 tabIndex={-1}>Side by side, from one seed</h1>
        <ul class="grid">
          {id.split(',').map((one) => (
            <li key={one}>
              <GenerationView id={one} small />
            </li>
          ))}
        </ul>
      </>
    )
  }
  return view === 'things' ? <Things /> : <Start />
}

function Things() {
  return (
    <>
      <h1 tabIndex={-1}>Your things</h1>
      <EndlessList
        empty="Nothing yet: begin with a photo."
        load={async (after) => (await ask(SubjectsDocument, { after })).subjects}
        show={(subject) => (
          <a class="card" href={`#/subject/${subject.id}`}>
            {subject.image ? (
              <Picture url={subject.image.url} alt="" />
            ) : (
              <span class="picture none">{subject.status.toLowerCase()}</span>
            )}
            {subject.label}
          </a>
        )}
      />
    </>
  )
}

function AskForKey() {
  const [key, setKey] = useState('')
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault()
        useKey(key.trim())
      }}
    >
      <h1>This mesh asks for an API key</h1>
      {apiKey.value && <Trouble error="This mesh does not take the key that it was given." />}
      <label>
        API key
        <input type="password" required autocomplete="off" value={key} onInput={(e) => setKey(e.currentTarget.value)} />
        <small>Kept in this tab alone. Make one with: npx moma keys create --tenant me</small>
      </label>
      <button type="submit" class="primary">
        Go on
      </button>
    </form>
  )
}

render(<App />, document.getElementById('studio')!)
