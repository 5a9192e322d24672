import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { addressShape, processShape, readGenerationConfig } from '../../cli/serve/generation.ts'
import { defaultAddress, isComputeName, isServiceName, serviceNames } from '../../cli/serve/names.ts'
import { listenAddresses } from '../../cli/serve/serve.ts'
import { startShape } from '../../cli/start/start.ts'
import { gatewayShape } from '../../gateway/config.ts'
import { createGatewayMetrics } from '../../gateway/metrics.ts'
import { createQueueMetrics } from '../../services/generation/queue-metrics.ts'
import { createRunnerMetrics } from '../../services/generation/runner/metrics.ts'
import { computeShape } from '../../services/lib/mesh/config.ts'
import { createMetrics } from '../../services/lib/mesh/metrics.ts'
import { safetyShape } from '../../services/safety/config.ts'
import { judgesOf } from '../../services/safety/eyes/eyes.ts'
import { createSafetyMetrics } from '../../services/safety/metrics.ts'

// What is written about variables and ports where no compiler looks.

const root = fileURLToPath(new URL('../../', import.meta.url))
const read = (path: string) => readFileSync(join(root, path), 'utf8')

const shapes = [computeShape, processShape, addressShape, gatewayShape, safetyShape, startShape]
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
  expect(read('docker-compose.yml')).toMatch(new RegExp(`MOMA_LISTEN: "?0\\.0\\.0\\.0:${port}\\b`))
  expect(read(`deploy/kubernetes/${name}.yaml`)).toContain(`containerPort: ${port}`)
  for (const address of read('deploy/kubernetes/mesh.yaml').matchAll(new RegExp(`${name}-\\d\\.${name}:(\\d+)`, 'g'))) {
    expect(Number(address[1])).toBe(port)
  }
})

test('programs are called by npm, which brings the Node that they need', () => {
  const documents = globSync(['README.md', '{docs,gateway,models,training}/**/*.md'], { cwd: root })
  const heads = globSync(['docs/*.ts', '{test,training}/**/*.{ts,py}'], { cwd: root })
  const programs = heads.filter((path) => !path.endsWith('.test.ts'))
  const bare = [...documents, ...programs].filter((path) => /(?<!npm exec -- )\bnode \S+\.ts\b/.test(read(path)))
  expect(documents.length).toBeGreaterThan(4)
  expect(bare).toEqual([])
})

test('what the images are made of is let into their context, and the studio is built on the way', () => {
  const dockerfile = read('deploy/Dockerfile')
  const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) => sources!.split(' '))
  const context = read('.dockerignore').split('\n')
  expect(copied).toContain('gateway')
  expect(copied.filter((path) => !context.includes(`!${path}`))).toEqual([])
  const [, studio] = /^FROM \S+ AS studio\n(.+?)\n\n/ms.exec(dockerfile)!
  expect(studio).toContain('RUN node gateway/studio/build.ts')
  const [, program] = /^FROM \S+ AS program\n(.+?)\n\n/ms.exec(dockerfile)!
  expect(program).toContain('COPY --from=studio /app/gateway/studio/dist gateway/studio/dist')
  // One that was built before would be another page's.
  expect(context).toContain('gateway/studio/dist')
})

test("compose publishes the gateway where its pictures' addresses say", () => {
  const compose = read('docker-compose.yml')
  const [, published] = /ports: \["(\S+):4000"\]/.exec(compose)!
  expect(compose).toContain(`MOMA_PUBLIC_URL: \${MOMA_PUBLIC_URL:-http://localhost:${published}}\n`)
})

test.each(['docker-compose.yml', 'deploy/kubernetes/mesh.yaml'])('%s needs every judge that its bundle has', (path) => {
  const value = (name: string) => new RegExp(`^ *${name}: (?:\\$\\{${name}:-)?([\\w,-]+)`, 'm').exec(read(path))?.[1]
  const { networks } = JSON.parse(read(`models/${value('MOMA_BUNDLE')}/manifest.json`))
  const { personDetector, zeroShot, safetyChecker } = networks
  expect(value('MOMA_SAFETY_REQUIRE')?.split(',')).toEqual(judgesOf({ personDetector, zeroShot, safetyChecker }))
})

interface Told {
  readonly name: string
  readonly type: string
  readonly labelNames: readonly string[]
}

test('docs/operate.md has every metric, with its kind and its labels', async () => {
  const { registry } = createMetrics()
  for (const add of [createGatewayMetrics, createQueueMetrics, createRunnerMetrics, createSafetyMetrics]) add(registry)
  // The library's types say neither kind nor labels.
  const metrics: unknown[] = registry.getMetricsAsArray()
  const own = (metrics as Told[]).filter(({ name }) => name.startsWith('moma_'))
  const quoted = (text: string) => [...text.matchAll(/`([^`]+)`/g)].map(([, word]) => word!)
  const told = [...read('docs/operate.md').matchAll(/^\| (`moma_[^|]+)\|([^|]+)\|([^|]*)\|/gm)].flatMap((row) => {
    const kinds = row[2]!.trim().split(', ')
    return quoted(row[1]!).map((name, index) => {
      const type = (kinds[index] ?? kinds[0]!).replace(/s$/, '')
      return { name, type, labelNames: quoted(row[3]!) }
    })
  })
  const inOrder = (some: readonly Told[]) => some.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  expect(inOrder(told)).toEqual(inOrder(own.map(({ name, type, labelNames }) => ({ name, type, labelNames }))))
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
