import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { processShape } from '../../cli/serve/generation.ts'
import { defaultAddress, serviceNames } from '../../cli/serve/names.ts'
import { readConfig, serverShape } from '../../services/lib/mesh/config.ts'

// How long one thing waits for another in the manifests, and what the probes ask.

const read = (name: string) => readFileSync(join(import.meta.dirname, `../../deploy/kubernetes/${name}.yaml`), 'utf8')
const files = [...serviceNames, 'gateway']

/** The number behind a key, the first after `from`. */
function numberIn(text: string, key: string, from = ''): number {
  const found = new RegExp(`${key}: "?(\\d+)"?`).exec(text.slice(text.indexOf(from)))
  if (!found) throw new Error(`no ${key} after ${from}`)
  return Number(found[1])
}

test.each(files)('a generation waits for as long as a copy of %s may take to start', (name) => {
  const waitMs = numberIn(read('mesh'), 'MOMA_SERVICE_WAIT_MS')
  const { MOMA_SERVICE_WAIT_MS } = processShape
  expect(readConfig({ MOMA_SERVICE_WAIT_MS }, { MOMA_SERVICE_WAIT_MS: `${waitMs}` }).MOMA_SERVICE_WAIT_MS).toBe(waitMs)
  const [seconds, failures] = ['periodSeconds', 'failureThreshold'].map((key) =>
    numberIn(read(name), key, 'startupProbe'),
  )
  expect(seconds! * failures! * 1000).toBeLessThanOrEqual(waitMs)
})

test.each(files)('%s may drain before it is killed', (name) => {
  const { MOMA_DRAIN_MS } = readConfig(serverShape, {})
  const text = read(name)
  const before = /preStop: \{ exec: \{ command: \[sleep, "(\d+)"\] \} \}/.exec(text)
  if (name === 'gateway') expect(Number(before?.[1])).toBeGreaterThanOrEqual(5)
  const needed = Number(before?.[1] ?? 0) + MOMA_DRAIN_MS / 1000
  expect(numberIn(text, 'terminationGracePeriodSeconds')).toBeGreaterThanOrEqual(needed + 5)
})

test.each(serviceNames)('%s is probed by the program, which speaks TLS where the mesh does', (name) => {
  const text = read(name)
  const probe = `exec: { command: [node, cli/moma.ts, health, "localhost:${defaultAddress(name).port}"] }`
  expect(text.split(probe)).toHaveLength(3)
  expect(text).not.toMatch(/\bgrpc: \{ port/)
})

test('generation says what denoise computes with', () => {
  const [, image] = /image: moma-mesh:(\w+)/.exec(read('denoise'))!
  const [, provider] = /\{ name: MOMA_PROVIDER, value: (\w+) \}/.exec(read('generation'))!
  const stage = readFileSync(join(import.meta.dirname, '../../deploy/Dockerfile'), 'utf8').split(`AS ${image}\n`)[1]!
  expect(/MOMA_PROVIDER=(\w+)/.exec(stage.split('\nFROM ')[0]!)?.[1] ?? 'cpu').toBe(provider)
})

test.each(files)('%s has the certificates where the variables say', (name) => {
  const places = [...read('mesh').matchAll(/MOMA_TLS_\w+: (\/\S+)\/[\w.]+/g)].map(([, folder]) => folder)
  expect(places).toEqual(['/etc/moma-tls', '/etc/moma-tls', '/etc/moma-tls'])
  expect(read(name)).toContain('- { name: tls, mountPath: /etc/moma-tls, readOnly: true }')
  expect(read(name)).toMatch(/- name: tls\n +secret: \{ secretName: moma-tls, optional: true \}/)
})
