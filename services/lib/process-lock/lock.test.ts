import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Lock, LockHeld, readHolder, takeLock } from './lock.ts'

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
  const second = takeLock(file, { waitMs: 5000 })
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

describe('a holder whose process id means nothing here', () => {
  const pace = { touchMs: 300, quietMs: 2000 }
  /** The id lives here; it is another one there. */
  const elsewhere = {
    pid: process.pid,
    startedAt: '1',
    addresses: {},
    namespace: 'pid:[1] of a container',
    host: '4f2a',
  }
  let file: string
  beforeEach(async () => {
    file = join(folder, 'a.lock')
    await writeFile(file, JSON.stringify(elsewhere))
  })
  const timed = async (work: Promise<unknown>) => {
    const start = performance.now()
    const result = await work.catch((error: unknown) => error)
    return { result, ms: performance.now() - start }
  }

  test.each([
    ['right', 0],
    ['an hour behind', -3600_000],
    ['an hour ahead', 3600_000],
  ])('holds its lock for as long as it shows signs of life, if its clock is %s', async (_, offMs) => {
    const touch = () => {
      const time = new Date(Date.now() + offMs)
      return utimes(file, time, time).catch(() => undefined)
    }
    await touch()
    const living = setInterval(touch, 60)
    const { result } = await timed(takeLock(file, { waitMs: 1500, pace }))
    clearInterval(living)
    expect(result).toMatchObject({ name: 'LockHeld', message: `process ${process.pid} on host 4f2a holds ${file}` })
    expect(await readdir(folder)).toEqual(['a.lock'])
  })

  test('is dead after half a minute without one', async () => {
    expect(await readHolder(file)).toMatchObject({ host: '4f2a' })
    const { result, ms } = await timed(takeLock(file, { pace }))
    await using _lock = result as Lock
    expect(ms).toBeGreaterThan(1900)
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ pid: process.pid, host: hostname() })
  })

  test('is dead soon where the last one is old, but not at once: machines sleep', async () => {
    await utimes(file, 1e9, 1e9)
    expect(await readHolder(file)).toBeNull()
    const { result, ms } = await timed(takeLock(file, { pace }))
    await using _lock = result as Lock
    expect(ms).toBeGreaterThan(590)
    expect(ms).toBeLessThan(1900)
  })

  test('a holder shows signs of life, until it ends', async () => {
    await rm(file)
    {
      await using _lock = await takeLock(file, { pace })
      await utimes(file, 1e9, 1e9)
      await sleep(1000)
      expect(Date.now() - (await stat(file)).mtimeMs).toBeLessThan(1000)
    }
    expect(await readdir(folder)).toEqual([])
  })

  test.each(['taken by another', 'gone'])('is told when its lock is %s, and leaves it alone', async (how) => {
    await rm(file)
    const lost = Promise.withResolvers<void>()
    await using _lock = await takeLock(file, { pace, onLost: lost.resolve })
    await rm(file)
    if (how !== 'gone') await writeFile(file, JSON.stringify(elsewhere))
    await lost.promise
    await _lock[Symbol.asyncDispose]()
    expect(await readdir(folder)).toEqual(how === 'gone' ? [] : ['a.lock'])
  })

  const inContainer = spawnSync('unshare', ['--pid', '--fork', 'true']).status === 0 ? test : test.skip
  inContainer(
    'is not taken for dead in a namespace of its own',
    async () => {
      await rm(file)
      const script = `
      const { takeLock } = await import(${JSON.stringify(new URL('lock.ts', import.meta.url).href)})
      await takeLock(${JSON.stringify(file)}, { pace: ${JSON.stringify(pace)} })
      console.log('taken')
      process.stdin.resume().on('end', () => process.exit())`
      const node = [process.execPath, '--input-type=module', '-e', script]
      const holder = spawn('unshare', ['--pid', '--fork', '--mount-proc', ...node], {
        stdio: ['pipe', 'pipe', 'inherit'],
      })
      await once(holder.stdout, 'data')
      expect((await timed(takeLock(file, { pace }))).result).toBeInstanceOf(LockHeld)
      holder.stdin.end()
      await once(holder, 'exit')
      await using _lock = await takeLock(file, { pace })
    },
    20_000,
  )
})
