import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Registry } from 'prom-client'
import { openAuditLog } from './audit-log.ts'
import { createJudge } from './judge.ts'
import { createSafetyMetrics } from './metrics.ts'
import { readPolicy } from './policy/policy.ts'
import { recorded } from './recorded.ts'
import type { Safety } from './safety.ts'

const root = mkdtempSync(join(tmpdir(), 'moma-audit-'))
afterAll(() => rmSync(root, { recursive: true }))
let count = 0
const newFolder = () => join(root, String(count++))

const side = { widthPx: 2, heightPx: 2 }
const picture = { ...side, pixels: new Uint8Array(12).fill(7), alpha: null }
const mask = { ...side, pixels: new Uint8Array([255, 0, 0, 0]) }
const linesOf = (folder: string, file = 'audit.jsonl') =>
  readFileSync(join(folder, file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

async function open(safety: Safety = createJudge(readPolicy())) {
  const folder = newFolder()
  const registry = new Registry()
  const judge = recorded(safety, await openAuditLog(folder), createSafetyMetrics(registry))
  return { folder, registry, judge }
}

test('every decision is written down, without what was judged', async () => {
  const { folder, judge } = await open()
  await judge.reviewPrompt({ label: 'corgi', prompt: 'a corgi beside a woman', negativePrompt: '' })
  await judge.reviewSubject({ reference: picture, mask, label: 'corgi' })
  await judge.reviewPicture({ picture, label: 'corgi' })
  expect(linesOf(folder)).toMatchObject([
    {
      gate: 'PROMPT',
      decision: 'REJECTED_PERSON',
      policyVersion: 'moma-3/words',
      findings: [{ detector: 'words/person', score: 1, threshold: 0.5, region: null }],
      hashes: { label: expect.stringMatching(/^[0-9a-f]{32}$/), prompt: expect.stringMatching(/^[0-9a-f]{32}$/) },
    },
    { gate: 'SUBJECT', decision: 'ALLOWED', findings: [] },
    { gate: 'PICTURE', decision: 'ALLOWED', hashes: { picture: expect.any(String) } },
  ])
  const text = readFileSync(join(folder, 'audit.jsonl'), 'utf8')
  expect(text).not.toMatch(/corgi|woman/)
})

test('equal requests have equal hashes in one folder, and others in another', async () => {
  const folder = newFolder()
  const [first, again, elsewhere] = [
    await openAuditLog(folder),
    await openAuditLog(folder),
    await openAuditLog(newFolder()),
  ]
  expect(again!.hash('dog')).toBe(first!.hash('dog'))
  expect(elsewhere!.hash('dog')).not.toBe(first!.hash('dog'))
})

test('what is written stays within its bound, the newest kept', async () => {
  const folder = newFolder()
  const audit = await openAuditLog(folder, { maxFileBytes: 400, maxFiles: 3 })
  const entry = { gate: 'PROMPT', policyVersion: 'v', findings: [], hashes: {}, elapsedMs: 1 } as const
  await Promise.all(Array.from({ length: 40 }, (_, index) => audit.append({ ...entry, decision: `d${index}` })))
  expect(readdirSync(folder).sort()).toEqual(['audit.1.jsonl', 'audit.2.jsonl', 'audit.jsonl', 'audit.key'])
  const kept = ['audit.2.jsonl', 'audit.1.jsonl', 'audit.jsonl'].flatMap((file) => linesOf(folder, file))
  const numbers = kept.map(({ decision }) => Number(decision.slice(1)))
  expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => 40 - numbers.length + index))
})

test('decisions are counted by gate and reason', async () => {
  const { registry, judge } = await open()
  await judge.reviewPrompt({ label: 'dog', prompt: 'naked', negativePrompt: '' })
  await judge.reviewPrompt({ label: 'dog', prompt: 'snow', negativePrompt: '' })
  const broken = recorded(
    { ...createJudge(readPolicy()), reviewPicture: async () => Promise.reject(new Error('broke')) },
    await openAuditLog(newFolder()),
    createSafetyMetrics(new Registry()),
  )
  await expect(broken.reviewPicture({ picture, label: 'dog' })).rejects.toThrow('broke')
  const { values } = await registry.getSingleMetric('moma_safety_decisions_total')!.get()
  expect(values.map(({ labels, value }) => ({ ...labels, value }))).toEqual([
    { gate: 'PROMPT', decision: 'REJECTED_CONTENT', reason: 'words/sexual', value: 1 },
    { gate: 'PROMPT', decision: 'ALLOWED', reason: 'none', value: 1 },
  ])
})

test('a judge that fails is written down and counted as no decision', async () => {
  const { folder, registry, judge } = await open({
    ...createJudge(readPolicy()),
    reviewPicture: async () => Promise.reject(new Error('broke')),
  })
  await expect(judge.reviewPicture({ picture, label: 'dog' })).rejects.toThrow('broke')
  expect(linesOf(folder)).toMatchObject([{ gate: 'PICTURE', decision: 'NONE', policyVersion: null, findings: [] }])
  expect(await registry.metrics()).toContain('{gate="PICTURE",decision="NONE",reason="error"} 1')
})

test('a decision that cannot be written down is none', async () => {
  const { folder, judge } = await open()
  rmSync(folder, { recursive: true })
  await expect(judge.reviewPicture({ picture, label: 'dog' })).rejects.toThrow('ENOENT')
})
