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
const logText = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('')
const linesOf = (folder: string) =>
  logText(folder)
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
      policyVersion: 'moma-4/words',
      findings: [{ detector: 'words/person', score: 1, threshold: 0.5, region: null }],
      hashes: { label: expect.stringMatching(/^[0-9a-f]{32}$/), prompt: expect.stringMatching(/^[0-9a-f]{32}$/) },
    },
    { gate: 'SUBJECT', decision: 'ALLOWED', findings: [] },
    { gate: 'PICTURE', decision: 'ALLOWED', hashes: { picture: expect.any(String) } },
  ])
  expect(logText(folder)).not.toMatch(/corgi|woman/)
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

test('a decision that cannot be written down is none, and counted as such', async () => {
  const { folder, registry, judge } = await open()
  rmSync(folder, { recursive: true })
  await expect(judge.reviewPicture({ picture, label: 'dog' })).rejects.toThrow('ENOENT')
  const { values } = await registry.getSingleMetric('moma_safety_decisions_total')!.get()
  expect(values).toMatchObject([{ labels: { gate: 'PICTURE', decision: 'NONE', reason: 'error' }, value: 1 }])
})

test('whoever goes away while a judgement is made is counted as such', async () => {
  const { registry, judge } = await open({
    ...createJudge(readPolicy()),
    reviewPrompt: async (_, signal) => new Promise((__, reject) => signal?.addEventListener('abort', reject)),
  })
  const gone = judge.reviewPrompt({ label: 'dog', prompt: '', negativePrompt: '' }, AbortSignal.timeout(10))
  await expect(gone).rejects.toBeDefined()
  expect(await registry.metrics()).toContain('{gate="PROMPT",decision="NONE",reason="canceled"} 1')
})
