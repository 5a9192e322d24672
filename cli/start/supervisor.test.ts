import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Member, MemberFailed, supervise } from './supervisor.ts'

// Real processes of a line or two.

const folder = mkdtempSync(join(tmpdir(), 'moma-supervisor-'))
afterAll(() => rmSync(folder, { recursive: true }))

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

function run(members: readonly Member[]) {
  const lines: string[] = []
  const restarts: string[] = []
  const tree = supervise(members, {
    drainMs: 5000,
    retryMs: { first: 1, largest: 10 },
    onLine: (name, line) => lines.push(`${name}: ${line}`),
    onRestart: (name, how) => restarts.push(`${name} ${how}`),
  })
  cleanups.push(() => tree.kill())
  return { tree, lines, restarts }
}

const script = (name: string, code: string): Member => ({
  name,
  command: [process.execPath, '-e', code],
  env: process.env,
})
const serving = `process.send('ready'); process.on('disconnect', () => process.exit())`

async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > end) throw new Error('it did not come about')
    await sleep(5)
  }
}

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('one that is killed is started again; the others go on', async () => {
  const { tree, restarts } = run([script('a', serving), script('b', serving)])
  await tree.ready()
  const { a, b } = tree.pids
  process.kill(a!, 'SIGKILL')
  await until(() => tree.pids.a !== undefined && tree.pids.a !== a)
  expect(tree.pids.b).toBe(b)
  expect(restarts).toEqual(['a ended by SIGKILL'])
})

test('a part may be ready before the whole, and what is told reaches the next process too', async () => {
  const code = `process.send('ready: record'); process.on('message', (text) => { console.log(text); ${serving} })`
  const { tree, lines } = run([script('a', code)])
  await tree.ready('a', 'record')
  expect(lines).toEqual([])
  tree.tell('a', 'go on')
  await tree.ready()
  const { a } = tree.pids
  process.kill(a!, 'SIGKILL')
  await until(() => lines.length === 2)
  expect(tree.pids.a).not.toBe(a)
  expect(lines).toEqual(['a: go on', 'a: go on'])
})

test('ends in good order, the last one first', async () => {
  const file = join(folder, 'order')
  const noting = (name: string) =>
    script(
      name,
      `process.on('SIGTERM', () => setTimeout(() => {
        require('node:fs').appendFileSync(${JSON.stringify(file)}, '${name}'); process.exit() }, 50)); ${serving}`,
    )
  const { tree, restarts } = run([noting('a'), noting('b'), noting('c')])
  await tree.ready()
  await tree.end()
  expect(readFileSync(file, 'utf8')).toBe('cba')
  expect(tree.pids).toEqual({})
  expect(restarts).toEqual([])
})

test('one that never gets ready is given up', async () => {
  const { tree, restarts } = run([script('a', 'process.exit(1)'), script('b', serving)])
  await expect(tree.ready()).rejects.toThrow("a can't be started (ended with code 1)")
  expect(restarts).toHaveLength(7)
})

test('a fault that another start cannot mend is not tried again', async () => {
  const { tree, lines, restarts } = run([script('a', 'console.error("PORT is x"); process.exit(2)')])
  const error = await tree.ready().catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(MemberFailed)
  expect(error).toMatchObject({ exitCode: 2 })
  expect(restarts).toEqual([])
  await until(() => lines.includes('a: PORT is x'))
})

test('a supervisor that is killed leaves nobody behind', async () => {
  const path = JSON.stringify(new URL('supervisor.ts', import.meta.url).href)
  const member = JSON.stringify({ name: 'a', command: [process.execPath, '-e', serving] })
  const parent = script(
    'parent',
    `import(${path}).then(async ({ supervise }) => {
      const tree = supervise([{ ...${member}, env: process.env }], { drainMs: 1000, onLine() {} })
      await tree.ready()
      console.log(tree.pids.a)
      process.send('ready')
    })`,
  )
  const { tree, lines } = run([parent])
  await tree.ready()
  await until(() => lines.length > 0)
  const orphan = Number(lines[0]!.split(' ')[1])
  expect(isAlive(orphan)).toBe(true)
  process.kill(tree.pids.parent!, 'SIGKILL')
  await until(() => !isAlive(orphan))
})
