import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { exitCodes } from '../codes.ts'

const folder = mkdtempSync(join(tmpdir(), 'moma-broken-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** A process that serves, and is told of a broken provider once its networks are loaded, `breaks` times in a row. */
const script = (services: readonly string[], breaks: number) => `
  import { serve } from ${JSON.stringify(new URL('./serve.ts', import.meta.url).href)}
  import { NetworkError } from ${JSON.stringify(new URL('../../services/lib/runtime/errors.ts', import.meta.url).href)}
  import { createNetworkPool } from ${JSON.stringify(new URL('../../services/lib/runtime/pool.ts', import.meta.url).href)}
  const error = new NetworkError('step', 'CUDA failure 700', { broken: true })
  const createPool = (options) => createNetworkPool({
    ...options,
    onLoad(event) {
      options.onLoad(event)
      for (let inARow = 1; inARow <= ${breaks}; inARow++) options.onBroken(error, inARow)
      if (${breaks} < 5) process.kill(process.pid, 'SIGTERM')
    },
  })
  await serve(${JSON.stringify(services)}, process.env, { createPool }).catch((error) => console.error(error.message))
`

async function run(services: readonly string[], breaks: number) {
  const env = { ...process.env, MOMA_LISTEN: '127.0.0.1:0', MOMA_DATA: folder, MOMA_THREADS: '1', LOG_LEVEL: 'error' }
  const file = join(folder, 'serve.mjs')
  writeFileSync(file, script(services, breaks))
  const child = spawn(process.execPath, [file], { env, timeout: 60_000 })
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  return { said, code }
}

test.each([[['vision']], [['generation', 'vision']]])(
  'a provider that stays broken ends the process of %j, for another to be started',
  async (services) => {
    const { said, code } = await run(services, 5)
    expect(said).toMatch(/"network":"step","inARow":1,.*"msg":"cpu computes nothing any more"/)
    expect([code, said.trim().split('\n').at(-1)]).toEqual([exitCodes.fault, 'step: CUDA failure 700'])
  },
)

test('one that comes back does not', async () => {
  expect(await run(['vision'], 4)).toMatchObject({ code: exitCodes.done })
})
