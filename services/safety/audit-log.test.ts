import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openAuditLog } from './audit-log.ts'

const root = mkdtempSync(join(tmpdir(), 'moma-audit-'))
afterAll(() => rmSync(root, { recursive: true }))
let count = 0
const newFolder = () => {
  const folder = join(root, String(count++))
  mkdirSync(folder)
  return folder
}

const entry = { gate: 'PROMPT', policyVersion: 'v', findings: [], hashes: {}, elapsedMs: 1 } as const
/** Of such lines a file holds about three hundred. */
const small = { maxFileBytes: 32_768, maxFiles: 3 }
const filesOf = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.jsonl'))
const linesOf = (folder: string) =>
  filesOf(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
const decisionsOf = (folder: string): string[] =>
  linesOf(folder)
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).decision)

describe('the key', () => {
  test('makes equal hashes of equal texts in one folder, and others in another', async () => {
    const folder = newFolder()
    const [first, again, elsewhere] = [
      await openAuditLog(folder),
      await openAuditLog(folder),
      await openAuditLog(newFolder()),
    ]
    expect(again!.hash('dog')).toBe(first!.hash('dog'))
    expect(elsewhere!.hash('dog')).not.toBe(first!.hash('dog'))
  })

  test('is one for all that open the folder at once', async () => {
    const folder = newFolder()
    const logs = await Promise.all(Array.from({ length: 12 }, () => openAuditLog(folder)))
    expect(new Set(logs.map((log) => log.hash('dog'))).size).toBe(1)
    expect(readdirSync(folder)).toEqual(['audit.key'])
    expect(statSync(join(folder, 'audit.key')).size).toBe(32)
    expect(statSync(join(folder, 'audit.key')).mode & 0o777).toBe(0o600)
  })

  test.each([0, 31, 33])('of %d bytes is none', async (bytes) => {
    const folder = newFolder()
    const file = join(folder, 'audit.key')
    writeFileSync(file, Buffer.alloc(bytes, 1))
    await expect(openAuditLog(folder)).rejects.toMatchObject({
      name: 'ConfigError',
      message: `${file} holds ${bytes} bytes; allowed: 32, or no such file: a new key is made then, and its hashes match none of before.`,
    })
  })
})

describe('the lines', () => {
  test('a torn one does not take the next one with it', async () => {
    const folder = newFolder()
    const audit = await openAuditLog(folder)
    await audit.append({ ...entry, decision: 'first' })
    const [name] = filesOf(folder)
    const whole = readFileSync(join(folder, name!), 'utf8')
    writeFileSync(join(folder, name!), `${whole}{"at":"2026-01-0`)
    await audit.append({ ...entry, decision: 'second' })
    await audit.append({ ...entry, decision: 'third' })
    const lines = linesOf(folder)
    expect(lines[1]).toBe('{"at":"2026-01-0')
    expect([lines[0], lines[2], lines[3]].map((line) => JSON.parse(line!).decision)).toEqual([
      'first',
      'second',
      'third',
    ])
    expect(lines[4]).toBe('')
  })

  test('stay within their bound, the newest kept', async () => {
    const folder = newFolder()
    const audit = await openAuditLog(folder, small)
    await Promise.all(Array.from({ length: 1500 }, (_, index) => audit.append({ ...entry, decision: `d${index}` })))
    expect(filesOf(folder)).toHaveLength(3)
    for (const name of filesOf(folder))
      expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(small.maxFileBytes)
    const numbers = decisionsOf(folder)
      .map((decision) => Number(decision.slice(1)))
      .sort((a, b) => a - b)
    expect(numbers.length).toBeGreaterThan(600)
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => 1500 - numbers.length + index))
  })

  test('of processes that share a folder are all there, in files that are no longer than they may be', async () => {
    const folder = newFolder()
    const script = `
      const { openAuditLog } = await import(${JSON.stringify(new URL('audit-log.ts', import.meta.url).href)})
      const audit = await openAuditLog(${JSON.stringify(folder)}, { maxFileBytes: 8192, maxFiles: 40 })
      console.log('open')
      for await (const _ of process.stdin);
      for (let index = 0; index < 300; index++) {
        await audit.append({ ...${JSON.stringify(entry)}, decision: process.argv[1] + index })
      }`
    const names = ['a', 'b', 'c']
    const children = names.map((name) =>
      spawn(process.execPath, ['--input-type=module', '-e', script, name], { stdio: ['pipe', 'pipe', 'inherit'] }),
    )
    // All of them write at the same time.
    await Promise.all(children.map(({ stdout }) => once(stdout, 'data')))
    for (const { stdin } of children) stdin.end()
    expect(await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]))).toEqual([0, 0, 0])
    const expected = names.flatMap((name) => Array.from({ length: 300 }, (_, index) => `${name}${index}`))
    expect(decisionsOf(folder).sort()).toEqual(expected.sort())
    for (const name of filesOf(folder)) expect(statSync(join(folder, name)).size).toBeLessThanOrEqual(8192)
  }, 30_000)

  test('of processes that have gone leave, the oldest first; none is taken away while it may be written to', async () => {
    const folder = newFolder()
    const files = ['audit.jsonl', 'audit.1.jsonl', 'audit-host-7.jsonl', 'audit-host-8.jsonl']
    for (const [index, name] of files.entries()) {
      writeFileSync(join(folder, name), `${JSON.stringify({ decision: name })}${' '.repeat(30_000)}\n`)
      utimesSync(join(folder, name), 1e9 + index, 1e9 + index)
    }
    await openAuditLog(folder, small)
    expect(decisionsOf(folder).sort()).toEqual(files.toSorted())
    expect(filesOf(folder)).toEqual(expect.arrayContaining(['audit-host-7.jsonl', 'audit-host-8.jsonl']))
    expect(filesOf(folder)).not.toContain('audit.jsonl')
    await openAuditLog(folder, small)
    expect(decisionsOf(folder).sort()).toEqual(['audit-host-7.jsonl', 'audit-host-8.jsonl'])
  })
})
