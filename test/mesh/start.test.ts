import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { defaultAddress } from '../../cli/serve/names.ts'
import { startLock } from '../../cli/start/data.ts'
import { freePorts, isFree } from '../../cli/start/ports.ts'
import { serveTestGeneration } from '../../gateway/test-generation.ts'
import { takeLock } from '../../services/lib/process-lock/lock.ts'
import { createMeshHttpClient } from './client.ts'
import { type StartedMesh, startMesh } from './start-mesh.ts'

// `moma start` as a person runs it, stops it, and finds that it runs already; `moma keys` against it.

const program = fileURLToPath(new URL('../../bin/moma.js', import.meta.url))
let mesh: StartedMesh
/** A data folder that nobody uses. */
const other = mkdtempSync(join(tmpdir(), 'moma-other-'))

beforeAll(async () => {
  mesh = await startMesh()
}, 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(other, { recursive: true })
}, 20_000)

function moma(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
    encoding: 'utf8',
    env: { ...process.env, MOMA_DATA: mesh.data, MOMA_BUNDLE: 'moma-toy', ...env },
    timeout: 30_000,
  })
  return { status, stdout, stderr }
}

/** Processes that were started with this data folder. */
function processesOf(data: string): number[] {
  const { stdout } = spawnSync('ps', ['-eo', 'pid='], { encoding: 'utf8' })
  return stdout
    .split('\n')
    .map(Number)
    .filter((pid) => {
      try {
        const isOurs = readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`MOMA_DATA=${data}\0`)
        return isOurs && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('serve')
      } catch {
        return false
      }
    })
}

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 20_000
  while (!condition()) {
    if (performance.now() > end) throw new Error('it did not come about')
    await sleep(50)
  }
}

test('says where it is, where its data lie, that its pictures are noise, and a query that works as it stands', () => {
  const output = mesh.output()
  expect(output).toContain(`MoMA Mesh is ready at ${mesh.url}`)
  expect(output).toContain(`its data lie in ${mesh.data}`)
  expect(output).toContain('its pictures are noise')
  const command = /^ {2}(curl [\s\S]*?)\n\n/m.exec(output)![1]!
  const { stdout } = spawnSync('sh', ['-c', command.replace('curl', 'curl --silent')], { encoding: 'utf8' })
  expect(JSON.parse(stdout)).toMatchObject({ data: { capabilities: { bundle: 'moma-toy', sizePx: 128 } } })
})

test('a second one on the same data, or at the same port, says so in one sentence', () => {
  const again = moma(['start'], { PORT: '1' })
  expect(again).toMatchObject({ status: 2, stdout: '' })
  expect(again.stderr).toMatch(/^moma: A mesh runs on .* already \(process \d+, http:\/\/127\.0\.0\.1:\d+\): .*\.\n$/)
  const port = new URL(mesh.url).port
  const taken = moma(['start'], { PORT: port, MOMA_DATA: other })
  expect(taken).toMatchObject({
    status: 2,
    stderr: `moma: PORT is ${port}; allowed: a port that is free on 127.0.0.1.\n`,
  })
}, 20_000)

test('a wrong variable stops the start with name, value and what is allowed', () => {
  expect(moma(['start'], { PORT: 'x', MOMA_DATA: other })).toMatchObject({
    status: 2,
    stderr: 'moma: PORT is "x"; allowed: a whole number from 1 to 65535.\n',
  })
  expect(moma(['serve', 'vision'], { MOMA_SLOTS: '0' })).toMatchObject({
    status: 2,
    stderr: 'moma: MOMA_SLOTS is "0"; allowed: a whole number from 1 to 64.\n',
  })
  expect(moma(['serve', 'gateway', 'vision'])).toMatchObject({ status: 2 })
}, 20_000)

test('so does one that only a process of it reads', async () => {
  const [port] = await freePorts(1)
  expect(moma(['start'], { MOMA_CORS_ORIGINS: '*', MOMA_DATA: other, PORT: `${port}` })).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('gateway: moma: MOMA_CORS_ORIGINS is "*"; allowed: origins such as'),
  })
}, 40_000)

test('keys are made, asked for from then on, listed and revoked', async () => {
  const { secret, id } = JSON.parse(moma(['keys', 'create', '--tenant', 'studio', '--name', 'try', '--json']).stdout)
  const query = '{ subjects { nodes { id } } }'
  await using withKey = createMeshHttpClient(mesh.url, secret)
  expect(await withKey.ask(query)).toEqual({ subjects: { nodes: [] } })
  const listed = moma(['keys', 'list']).stdout
  expect(listed).toContain(id)
  expect(listed).not.toContain(secret)
  expect(moma(['keys', 'revoke', id]).stdout).toContain('revoked')
  expect(moma(['keys', 'create', '--tenant', 'No!'])).toMatchObject({
    stdout: '',
    stderr: expect.stringContaining('tenant'),
  })
}, 30_000)

const usual = defaultAddress('generation')
// Somebody's mesh may run here.
const testUsual = (await isFree(usual.host, usual.port)) ? test : test.skip

testUsual(
  'without a start, keys are those of the service at its usual address',
  async () => {
    expect(moma(['keys', 'list'], { MOMA_DATA: other })).toMatchObject({
      status: 2,
      stderr: `moma: MOMA_GENERATION is missing, no moma start runs on ${other} and nothing serves at 127.0.0.1:7405; allowed: host:port of a generation service.\n`,
    })
    const generation = await serveTestGeneration(usual)
    try {
      const env = { ...process.env, MOMA_DATA: other }
      const args = [program, 'keys', 'create', '--tenant', 'studio']
      const { stdout } = await promisify(execFile)(process.execPath, args, { env })
      expect(stdout).toMatch(/^moma_\S+\n$/)
      expect(generation.calls).toMatchObject({ CreateApiKey: 1 })
    } finally {
      await generation.dispose()
    }
  },
  30_000,
)

test('keys of a start that is not ready are asked of nobody else', async () => {
  await using _lock = await takeLock(startLock(other))
  expect(moma(['keys', 'list'], { MOMA_DATA: other })).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('is not ready yet'),
  })
})

test('a supervisor that is killed leaves nobody behind, and the next start goes on with the same data', async () => {
  const port = Number(new URL(mesh.url).port)
  expect(processesOf(mesh.data).length).toBeGreaterThan(0)
  await mesh.end('SIGKILL')
  await until(() => processesOf(mesh.data).length === 0)
  const next = await startMesh({ data: mesh.data, port })
  expect(next.data).toBe(mesh.data)
  expect(await next.end('SIGINT')).toBe(0)
  expect(processesOf(mesh.data)).toEqual([])
}, 60_000)
