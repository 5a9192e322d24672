import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { alone, guardName } from './guard.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moma-guard-'))
})
afterEach(() => rm(folder, { recursive: true }))

test('of a killed process that had the same id, as the first one of a container has, it is taken over', async () => {
  const script = `
    const { alone } = await import(${JSON.stringify(new URL('guard.ts', import.meta.url).href)})
    await alone(${JSON.stringify(folder)}, () => {
      console.log('taken')
      return new Promise((resolve) => setTimeout(resolve, 60_000))
    })`
  const killed = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(killed.stdout, 'data')
  killed.kill('SIGKILL')
  await once(killed, 'exit')
  const file = join(folder, guardName)
  // Its id comes first.
  await writeFile(file, (await readFile(file, 'utf8')).replace(String(killed.pid), String(process.pid)))
  expect(await alone(folder, async () => 'pulled')).toBe('pulled')
  expect(await readdir(folder)).toEqual([])
}, 20_000)

test('of many that find a dead one at once, one works and the others are told', async () => {
  await writeFile(join(folder, guardName), '4194305\n')
  let working = 0
  let most = 0
  const told = await Promise.all(
    Array.from({ length: 8 }, () =>
      alone(folder, async () => {
        most = Math.max(most, ++working)
        await new Promise((resolve) => setTimeout(resolve, 500))
        working--
      }).catch(({ fault, message }) => [fault, message]),
    ),
  )
  expect(most).toBe(1)
  const busy = ['busy', `Process ${process.pid} is pulling into ${folder} already; wait for it, or end it.`]
  expect(told.filter((one) => one !== undefined)).toEqual(Array(7).fill(busy))
})

test('whoever has lost it to another ends', async () => {
  const elsewhere = { pid: 1, startedAt: '1', addresses: {}, namespace: 'pid:[1] of a container', host: '4f2a' }
  const work = alone(folder, async (lost) => {
    await writeFile(join(folder, guardName), JSON.stringify(elsewhere))
    await once(lost, 'abort')
    throw new Error('ended')
  })
  await expect(work).rejects.toMatchObject({ fault: 'busy', message: expect.stringMatching(/^Another process/) })
  expect(JSON.parse(await readFile(join(folder, guardName), 'utf8'))).toEqual(elsewhere)
}, 10_000)
