import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LockHeld, readHolder, takeLock } from './lock.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moma-lock-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('one process at a time; whoever comes next is told who holds it, and where that serves', async () => {
  const file = join(folder, 'data', 'start.lock')
  {
    await using lock = await takeLock(file)
    await lock.tell({ gateway: '127.0.0.1:4000' })
    const refused = await takeLock(file).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(LockHeld)
    expect(refused).toMatchObject({ holder: { pid: process.pid, addresses: { gateway: '127.0.0.1:4000' } } })
  }
  expect(await readHolder(file)).toBeNull()
  await using _again = await takeLock(file)
})

test('a lock is waited for', async () => {
  const file = join(folder, 'a.lock')
  const first = await takeLock(file)
  const second = takeLock(file, 5000)
  await first[Symbol.asyncDispose]()
  await using _second = await second
  expect(await readHolder(file)).toMatchObject({ pid: process.pid })
})

test('of a process that died, and of an earlier one with the same id, it is taken over', async () => {
  const file = join(folder, 'a.lock')
  const dead = spawn(process.execPath, ['-e', ''])
  await once(dead, 'exit')
  for (const holder of [
    { pid: dead.pid, startedAt: null, addresses: {} },
    { pid: process.pid, startedAt: '1', addresses: {} },
    { pid: 'none' },
  ]) {
    await writeFile(file, JSON.stringify(holder))
    await using _lock = await takeLock(file)
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ pid: process.pid })
  }
})

test('of many that take over a dead lock at once, one gets it', async () => {
  const file = join(folder, 'a.lock')
  await writeFile(file, '{}')
  const script = `
    const { takeLock } = await import(${JSON.stringify(new URL('lock.ts', import.meta.url).href)})
    await takeLock(${JSON.stringify(file)}).then(
      () => { console.log('taken'); setTimeout(() => process.exit(), 10_000) },
      (error) => console.log(error.name))
    process.stdin.resume().on('end', () => process.exit())`
  const rivals = Array.from({ length: 4 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['pipe', 'pipe', 'inherit'] }),
  )
  const answers = await Promise.all(rivals.map(async ({ stdout }) => String((await once(stdout, 'data'))[0]).trim()))
  for (const { stdin } of rivals) stdin.end()
  expect(answers.toSorted()).toEqual(['LockHeld', 'LockHeld', 'LockHeld', 'taken'])
}, 20_000)
