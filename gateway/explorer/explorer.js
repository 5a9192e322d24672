import { examples } from './examples.js'

const element = (id) => document.getElementById(id)
const [query, variables, result, pictures, status, run, stop, key] = [
  'query',
  'variables',
  'result',
  'pictures',
  'status',
  'run',
  'stop',
  'key',
].map(element)

/** Ends the operation that runs. */
let running = null

function show({ query: text, variables: values }) {
  query.value = text
  variables.value = JSON.stringify(values, null, 2)
}

function headers(accept) {
  const authorization = key.value ? { authorization: `Bearer ${key.value}` } : {}
  return { accept, 'content-type': 'application/json', ...authorization }
}

async function ask(body, signal) {
  const response = await fetch('/graphql', {
    method: 'POST',
    headers: headers('application/graphql-response+json, application/json'),
    body: JSON.stringify(body),
    signal,
  })
  return response.json()
}

/** Results of a subscription over server-sent events, in graphql-sse's distinct connections mode. */
async function* watch(body, signal) {
  const response = await fetch('/graphql/stream', {
    method: 'POST',
    headers: headers('text/event-stream'),
    body: JSON.stringify(body),
    signal,
  })
  if (!response.ok) throw new Error((await response.json()).detail ?? response.statusText)
  let text = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    const messages = (text + chunk).split('\n\n')
    text = messages.pop()
    for (const message of messages) {
      const data = /^event: next\ndata: (.*)$/m.exec(message)?.[1]
      if (data) yield JSON.parse(data)
    }
  }
}

function print(value) {
  result.textContent = JSON.stringify(value, null, 2)
  pictures.replaceChildren(
    ...[...result.textContent.matchAll(/"(https?:[^"]+\/assets\/[^"]+)"/g)].slice(0, 16).map(([, address]) => {
      const picture = new Image()
      picture.src = address
      picture.alt = 'picture of the result'
      return picture
    }),
  )
}

async function carryOut() {
  running?.abort()
  running = new AbortController()
  const { signal } = running
  stop.disabled = false
  const started = performance.now()
  try {
    const body = { query: query.value, variables: JSON.parse(variables.value || '{}') }
    if (/^\s*subscription\b/m.test(query.value)) {
      let events = 0
      for await (const event of watch(body, signal)) {
        print(event)
        status.textContent = `${++events} events`
      }
    } else {
      print(await ask(body, signal))
      status.textContent = `${Math.round(performance.now() - started)} ms`
    }
  } catch (error) {
    if (!signal.aborted) status.textContent = error.message
  } finally {
    stop.disabled = true
  }
}

const typeName = (type) =>
  type.kind === 'NON_NULL'
    ? `${typeName(type.ofType)}!`
    : type.kind === 'LIST'
      ? `[${typeName(type.ofType)}]`
      : type.name

async function showSchema() {
  const type = 'kind name ofType { kind name ofType { kind name ofType { kind name } } }'
  const { data } = await ask({
    query: `{ __schema { types { kind name description
      fields { name description type { ${type} } args { name type { ${type} } } }
      inputFields { name description type { ${type} } } enumValues { name description } } } }`,
  })
  if (!data) return
  const types = data.__schema.types.filter(({ name, kind }) => !name.startsWith('__') && kind !== 'SCALAR')
  const list = () => {
    const wanted = element('search').value.toLowerCase()
    const rows = types.flatMap(({ name, description, fields, inputFields, enumValues }) => {
      const members = [...(fields ?? []), ...(inputFields ?? []), ...(enumValues ?? [])]
      const matching = name.toLowerCase().includes(wanted)
        ? members
        : members.filter((member) => member.name.toLowerCase().includes(wanted))
      if (matching.length === 0 && !name.toLowerCase().includes(wanted)) return []
      const title = document.createElement('dt')
      title.textContent = name
      title.title = description ?? ''
      const rest = matching.map((member) => {
        const row = document.createElement('dd')
        const code = document.createElement('code')
        const args = member.args?.length
          ? `(${member.args.map((arg) => `${arg.name}: ${typeName(arg.type)}`).join(', ')})`
          : ''
        code.textContent = member.name + args + (member.type ? `: ${typeName(member.type)}` : '')
        row.append(code, ` ${member.description ?? ''}`)
        return row
      })
      return [title, ...rest]
    })
    const all = document.createElement('dl')
    all.append(...rows)
    element('schema').replaceChildren(all)
  }
  element('search').addEventListener('input', list)
  list()
}

element('examples').append(
  ...examples.map((example) => {
    const item = document.createElement('li')
    const button = document.createElement('button')
    button.type = 'button'
    button.textContent = example.name
    button.addEventListener('click', () => show(example))
    item.append(button)
    return item
  }),
)
run.addEventListener('click', carryOut)
stop.addEventListener('click', () => running?.abort())
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) carryOut()
})
show(examples[0])
showSchema().catch((error) => {
  status.textContent = `the schema could not be read: ${error.message}`
})
