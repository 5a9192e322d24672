import { useState } from 'preact/hooks'
import {
  CreateGenerationDocument,
  type CreateGenerationInput,
  type GenerationMethod,
  type GenerationTask,
  type Sampler,
} from '../generated/operations'
import { ask, capabilities, thingOf } from './api'
import { useGoOn } from './go-on'
import { Trouble } from './problem'

const ideas: Readonly<Record<GenerationTask, readonly string[]>> = {
  RECONTEXTUALIZE: [
    'on the beach',
    'in the snow',
    'in autumn with falling leaves',
    'in a green garden with spring flowers',
  ],
  RETEXTURE: ['made of Gold', 'made of glass', 'made of Wood', 'made of Lego'],
}

export const methodNames: Readonly<Record<GenerationMethod, string>> = {
  MOMA: 'MoMA',
  IP_ADAPTER: 'IP-Adapter',
  NO_MASK: 'without mask',
  NO_SUBJECT: 'without subject branch',
  NO_MLLM: 'without MLLM',
}

/** In the paper's words. */
function sentenceOf(task: GenerationTask, label: string, idea: string): string {
  const thing = `${/^[aeiou]/i.test(label) ? 'an' : 'a'} ${label} ${idea}`
  return task === 'RETEXTURE' ? `A sculpture of ${thing}` : thing
}

/** What a generation is asked for with; "again with …" begins with those of another. */
export function Settings({ subjectId, label, from }: { subjectId: string; label: string; from: URLSearchParams }) {
  const { methods, samplers, limits, defaults } = capabilities.value!
  const number = (name: string, standard: number) => Number(from.get(name) ?? standard)
  const [task, setTask] = useState((from.get('task') ?? 'RECONTEXTUALIZE') as GenerationTask)
  const [prompt, setPrompt] = useState(
    from.get('prompt') ?? sentenceOf('RECONTEXTUALIZE', label, ideas.RECONTEXTUALIZE[0]!),
  )
  const [strength, setStrength] = useState(number('strength', defaults.strengthRecontextualize))
  const [count, setCount] = useState(number('count', 1))
  const [steps, setSteps] = useState(number('steps', defaults.steps))
  const [seed, setSeed] = useState(from.get('seed') ?? '')
  const [sampler, setSampler] = useState((from.get('sampler') ?? samplers[0]) as Sampler)
  const [method, setMethod] = useState((from.get('method') ?? 'MOMA') as GenerationMethod)
  const guidance = from.has('guidance') ? number('guidance', defaults.guidance) : null
  const negativePrompt = from.get('negativePrompt') ?? ''
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const goOn = useGoOn()

  const chooseTask = (next: GenerationTask) => {
    setTask(next)
    setStrength(next === 'RETEXTURE' ? defaults.strengthRetexture : defaults.strengthRecontextualize)
  }
  /** Several that differ in one thing alone share their seed. */
  const generate = async (variations: readonly Partial<CreateGenerationInput>[]) => {
    setBusy(true)
    setError(null)
    try {
      const kept = seed === '' ? Math.floor(Math.random() * 2 ** 31) : Number(seed)
      const own = { prompt, negativePrompt, task, strength, count, steps, sampler, method, guidance, seed: kept }
      const ids: string[] = []
      for (const variation of variations) {
        const input: CreateGenerationInput = { subjectId, ...own, ...variation }
        ids.push(thingOf((await ask(CreateGenerationDocument, { input })).createGeneration).id)
      }
      goOn(ids.length === 1 ? `#/generation/${ids[0]}` : `#/beside/${ids.join(',')}`)
    } catch (fault) {
      setError(fault)
    } finally {
      setBusy(false)
    }
  }

  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault()
        void generate([{}])
      }}
    >
      <label>
        What should the picture show?
        <textarea
          required
          rows={2}
          maxLength={limits.promptLength}
          value={prompt}
          onInput={(e) => setPrompt(e.currentTarget.value)}
        />
      </label>
      <fieldset class="row chips">
        <legend>Ideas</legend>
        {ideas[task].map((idea) => (
          <button key={idea} type="button" onClick={() => setPrompt(sentenceOf(task, label, idea))}>
            {idea}
          </button>
        ))}
      </fieldset>
      <fieldset class="row">
        <legend>What changes</legend>
        <label class="choice">
          <input
            type="radio"
            name="task"
            checked={task !== 'RETEXTURE'}
            onChange={() => chooseTask('RECONTEXTUALIZE')}
          />
          its place
        </label>
        <label class="choice">
          <input type="radio" name="task" checked={task === 'RETEXTURE'} onChange={() => chooseTask('RETEXTURE')} />
          its material
        </label>
      </fieldset>
      <label>
        Strength: {strength.toFixed(2)}
        <input
          type="range"
          min="0"
          max="1.2"
          step="0.05"
          value={strength}
          onInput={(e) => setStrength(+e.currentTarget.value)}
        />
        <small>
          How much of the thing's own detail is kept: about 1 for a new place, 0.3 to 0.6 for a new material.
        </small>
      </label>
      <div class="fields">
        <label>
          Pictures
          <input
            type="number"
            required
            min="1"
            max={limits.count}
            value={count}
            onInput={(e) => setCount(+e.currentTarget.value)}
          />
          <small>All drawn together.</small>
        </label>
        <label>
          Steps
          <input
            type="number"
            required
            min="1"
            max={limits.steps}
            value={steps}
            onInput={(e) => setSteps(+e.currentTarget.value)}
          />
          <small>More take longer.</small>
        </label>
        <label>
          Seed
          <input
            type="number"
            min="0"
            max="9007199254740926"
            placeholder="new"
            value={seed}
            onInput={(e) => setSeed(e.currentTarget.value)}
          />
          <small>Empty: a new one.</small>
        </label>
        <label>
          Sampler
          <select value={sampler} onChange={(e) => setSampler(e.currentTarget.value as Sampler)}>
            {samplers.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
          <small>The way from noise.</small>
        </label>
        <label>
          Method
          <select value={method} onChange={(e) => setMethod(e.currentTarget.value as GenerationMethod)}>
            {methods.map((name) => (
              <option key={name} value={name}>
                {methodNames[name]}
              </option>
            ))}
          </select>
          <small>MoMA, or without a part.</small>
        </label>
      </div>
      {(negativePrompt || (guidance ?? defaults.guidance) !== defaults.guidance) && (
        <small>
          As before: guidance {guidance ?? defaults.guidance}
          {negativePrompt && `, and nothing of “${negativePrompt}”`}.
        </small>
      )}
      <div class="row">
        <button type="submit" class="primary" disabled={busy}>
          Draw it
        </button>
        <button
          type="button"
          disabled={busy}
          onClick={() => generate([0.2, 0.5, 0.8, 1.1].map((value) => ({ strength: value, count: 1 })))}
        >
          Across strengths
        </button>
        <button
          type="button"
          disabled={busy}
          onClick={() => generate(methods.map((name) => ({ method: name, count: 1 })))}
        >
          Methods side by side
        </button>
      </div>
      <Trouble error={error} />
    </form>
  )
}
