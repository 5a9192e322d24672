import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { addressShape, processShape, readGenerationConfig } from '../../cli/serve/generation.ts'
import { defaultAddress, isComputeName, isServiceName, serviceNames } from '../../cli/serve/names.ts'
import { listenAddresses } from '../../cli/serve/serve.ts'
import { startShape } from '../../cli/start/start.ts'
import { gatewayShape } from '../../gateway/config.ts'
import { computeShape } from '../../services/lib/mesh/config.ts'

// What is written about variables and ports where no compiler looks.

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')

const shapes = [computeShape, processShape, addressShape, gatewayShape, startShape]
const readElsewhere = ['MOMA_LISTEN', 'MOMA_MODELS', 'HF_ENDPOINT', 'HF_TOKEN']
const known = new Set([...shapes.flatMap((shape) => Object.keys(shape)), ...readElsewhere])

const deployments = ['docker-compose.yml', ...globSync('deploy/kubernetes/*.yaml', { cwd: root })]

/** Variables of the project by their form; those of PostgreSQL's and Node's images have other names. */
const variablesIn = (text: string) =>
  [...text.matchAll(/\b(MOMA_[A-Z0-9_]+|DATABASE_URL|NATS_URL|LOG_LEVEL)\b/g)].map(([name]) => name)

test('the README has every variable, and no other', () => {
  const rows = [...read('README.md').matchAll(/^\| (`[^|]+) \|/gm)].map((row) => row[1]!)
  const named = rows.flatMap((row) => [...row.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map(([, name]) => name!))
  expect(named.toSorted()).toEqual([...known].toSorted())
})

test('what the README serves finds each other as it stands there', () => {
  const lines = [...read('README.md').matchAll(/^((?:[A-Z_]+=\S+ )*)npx moma serve ([a-z]+(?: [a-z]+)*)/gm)]
  const served = lines.map(([, variables, names]) => ({
    env: Object.fromEntries([...variables!.matchAll(/(\S+)=(\S+)/g)].map(([, name, value]) => [name!, value!])),
    names: names!.split(' '),
  }))
  expect(served.flatMap(({ names }) => names).toSorted()).toEqual([...serviceNames, 'gateway'].toSorted())
  const listening = served.flatMap(({ env, names }) => listenAddresses(names.filter(isServiceName), env))
  const { env, names } = served.find(({ names }) => names.includes('generation'))!
  const config = readGenerationConfig(env, names.filter(isComputeName))
  const lookedFor = (Object.keys(addressShape) as (keyof typeof addressShape)[]).flatMap((name) => config[name] ?? [])
  // The gateway and the keys look for the last one.
  expect(listening).toEqual(expect.arrayContaining([...lookedFor, defaultAddress('generation')]))
})

test.each(deployments)('%s sets variables that there are', (path) => {
  const unknown = variablesIn(read(path)).filter(
    // Of compose itself, and of families as comments name them.
    (name) => !known.has(name) && name !== 'MOMA_IMAGE_TARGET' && !name.endsWith('_'),
  )
  expect(unknown).toEqual([])
})

test.each(serviceNames)('%s has one port everywhere', (name) => {
  const { port } = defaultAddress(name)
  expect(read('docker-compose.yml')).toContain(`MOMA_LISTEN: ${name === 'generation' ? '' : '"'}0.0.0.0:${port}`)
  expect(read(`deploy/kubernetes/${name}.yaml`)).toContain(`containerPort: ${port}`)
  for (const address of read('deploy/kubernetes/mesh.yaml').matchAll(new RegExp(`${name}-\\d\\.${name}:(\\d+)`, 'g'))) {
    expect(Number(address[1])).toBe(port)
  }
})

test('the dashboard asks for metrics that there are', () => {
  const sources = globSync('{services,gateway}/**/*metrics.ts', { cwd: root }).map(read).join('\n')
  const { panels } = JSON.parse(read('deploy/grafana/mesh.json')) as {
    readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[]
  }
  const names = panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => expr.match(/\bmoma_\w+/g) ?? []))
  const unknown = names.map((name) => name.replace(/_bucket$/, '')).filter((name) => !sources.includes(`'${name}'`))
  expect(names.length).toBeGreaterThan(10)
  expect(unknown).toEqual([])
})
