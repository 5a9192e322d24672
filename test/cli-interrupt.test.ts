import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rehearsalPhoto } from '../services/lib/rehearsal/photo.ts'
import { createToyBundle } from './toy-bundle.ts'

// Signals to a real process while a network computes.

const program = fileURLToPath(new URL('../bin/moma.js', import.meta.url))
const toy = createToyBundle()
const folder = mkdtempSync(join(tmpdir(), 'moma-interrupt-'))
const [photo, mask, out] = ['photo.png', 'mask.png', 'out'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
]

beforeAll(async () => {
  const files = await rehearsalPhoto()
  writeFileSync(photo, files.photo)
  writeFileSync(mask, files.mask)
})

afterAll(() => {
  toy[Symbol.dispose]()
  rmSync(folder, { recursive: true })
})

/** A picture of this size takes its time, so that what comes right after a stage has begun comes in the middle of a network. */
function generate(): ChildProcess {
  const options = { image: photo, mask, label: 'toy', prompt: 'a toy on a beach', out, size: '512', steps: '100' }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  return spawn(process.execPath, [program, 'generate', ...args], {
    env: { ...process.env, MOMA_MODELS: toy.models, MOMA_BUNDLE: toy.name },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** Waits for words in a child's stderr or stdout; `said` collects all of it. */
function listen(child: ChildProcess) {
  let said = ''
  const waiting: { words: string; resolve: () => void }[] = []
  const onData = (bytes: Buffer) => {
    said += bytes
    for (const { words, resolve } of waiting) if (said.includes(words)) resolve()
  }
  child.stdout!.on('data', onData)
  child.stderr!.on('data', onData)
  // As a shell counts: 128 + the signal's number.
  const numbers: Partial<Record<string, number>> = { SIGINT: 130, SIGTERM: 143 }
  const status = new Promise<number | undefined>((resolve) =>
    child.once('close', (code, signal) => resolve(code ?? numbers[signal!])),
  )
  const ended = status.then((code) => {
    for (const { resolve } of waiting) resolve()
    return code
  })
  return {
    ended,
    get said() {
      return said
    },
    until: (words: string) =>
      new Promise<void>((resolve) => (said.includes(words) ? resolve() : waiting.push({ words, resolve }))),
  }
}

test.each([
  ['SIGINT', 130, 'moma: interrupted'],
  ['SIGTERM', 143, 'moma: told to end'],
] as const)(
  '%s ends a generation in the middle of a network: exit code %i, no picture and no part of one',
  async (signal, code, words) => {
    const child = generate()
    const heard = listen(child)
    await heard.until('denoise …')
    child.kill(signal)
    expect(await heard.ended).toBe(code)
    expect(heard.said).toContain(words)
    expect(heard.said).not.toContain('step 1 of')
    expect(heard.said).not.toContain('    at ')
    expect(existsSync(out) ? readdirSync(out) : []).toEqual([])
  },
  60_000,
)

test('a second Ctrl-C does not wait for a task that takes its time to stop', async () => {
  const module = new URL('../cli/interrupt.ts', import.meta.url).href
  const script = `
    import { interruptible } from ${JSON.stringify(module)}
    const stubborn = (signal) => new Promise(() => {
      signal.addEventListener('abort', () => console.log('told'))
      setInterval(() => undefined, 1000)
      console.log('running')
    })
    try { await interruptible(stubborn, () => console.log('cleared')) } catch { console.log('unwound') }
  `
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script])
  const heard = listen(child)
  await heard.until('running')
  child.kill('SIGINT')
  await heard.until('told')
  child.kill('SIGINT')
  expect(await heard.ended).toBe(130)
  expect(heard.said.trim().split('\n')).toEqual(['running', 'cleared', 'told', 'cleared'])
}, 10_000)
