// One generation at full size, in TypeScript and in Python, in one run: npm run bench [-- --steps 4 --python python3]
// Writes the first section of docs/performance.md with --write.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { bundleState, openBundle } from '../../services/lib/bundles/bundles.ts'
import { rehearsalPhoto } from '../../services/lib/rehearsal/photo.ts'
import type { NetworkCost } from '../../services/lib/runtime/measured-pool.ts'
import { writeSection } from './section.ts'

const { values } = parseArgs({
  options: {
    bundle: { type: 'string', default: 'moma-sd15' },
    steps: { type: 'string', default: '4' },
    threads: { type: 'string', default: String(availableParallelism()) },
    python: { type: 'string', default: process.env.MOMA_PYTHON ?? 'python3' },
    write: { type: 'boolean', default: false },
  },
})
const root = fileURLToPath(new URL('../../', import.meta.url))

interface Ours {
  readonly steps: number
  readonly wholeMs: number
  readonly longestBlockMs: number
  readonly peakBytes: number
  readonly costs: readonly NetworkCost[]
}

interface Reference {
  readonly torch: string
  readonly stages: Readonly<Record<string, readonly number[]>>
  readonly peakBytes: number
  readonly latentsDifference: number
}

const bundle = await openBundle(values.bundle)
const state = await bundleState(bundle)
if (state.kind !== 'ready' && state.kind !== 'rehearsal') {
  console.error(
    `${values.bundle} is ${state.kind}: npx moma models rehearse ${values.bundle} writes weights to measure with`,
  )
  process.exit(1)
}
const folder = mkdtempSync(join(tmpdir(), 'moma-bench-'))
try {
  const { photo, mask } = await rehearsalPhoto()
  writeFileSync(join(folder, 'photo.png'), photo)
  writeFileSync(join(folder, 'mask.png'), mask)
  console.error('TypeScript …')
  const ours = runSide<Ours>(
    process.execPath,
    ['test/bench/moma-side.ts', values.bundle, values.steps, values.threads, folder],
    'moma.json',
  )
  if (!ours) process.exit(1)
  const hasTorch = spawnSync(values.python, ['-c', 'import torch, diffusers, transformers']).status === 0
  if (hasTorch) console.error('Python …')
  else console.error(`${values.python} has no torch, diffusers and transformers: the reference is left out`)
  const reference = hasTorch
    ? runSide<Reference>(
        values.python,
        ['training/bench.py', bundle.folder, values.steps, values.threads, folder],
        'reference.json',
      )
    : undefined
  const report = reportOf(ours, reference)
  console.log(report)
  if (values.write) writeSection(report)
} finally {
  rmSync(folder, { recursive: true })
}

function runSide<T>(command: string, args: readonly string[], file: string): T | undefined {
  const { status } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (status !== 0) {
    console.error(`${command} ${args[0]} ended with code ${status}`)
    return undefined
  }
  return JSON.parse(readFileSync(join(folder, file), 'utf8'))
}

function reportOf(ours: Ours, reference: Reference | undefined): string {
  const seconds = (value: number) => value.toFixed(2)
  const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1)
  const theirs = (name: string) => {
    if (name === 'multimodal decoder') {
      const layer = reference?.stages['one layer of the multimodal decoder']?.[0]
      return layer === undefined ? undefined : 32 * layer
    }
    const runs = reference?.stages[name]
    // The first step warms caches up on both sides; the fastest is what the hardware does.
    return runs ? Math.min(...runs) : undefined
  }
  const rows = ours.costs
    .filter(({ runs }) => runs > 0)
    .map(({ name, fastestRunMs, loadMs, residentBytes }) => {
      const own = fastestRunMs / 1000
      const other = theirs(name)
      const ratio = other === undefined ? '' : `${(other / own).toFixed(2)} ×`
      return `| ${name} | ${seconds(own)} | ${other === undefined ? '' : seconds(other)} | ${ratio} | ${seconds(loadMs / 1000)} | ${gigabytes(residentBytes)} |`
    })
  const lines = [
    '# Performance',
    '',
    `${cpus()[0]?.model ?? 'unknown processor'}, ${values.threads} threads, ${(totalmem() / 2 ** 30).toFixed(0)} GiB; Node ${process.versions.node}, onnxruntime-node on the CPU.`,
    `Bundle ${values.bundle}${state.kind === 'rehearsal' ? ' (rehearsed: real layout, random weights)' : ''}, ${bundle.manifest.settings.sizePx}², float32, one picture, both guidance halves, the multimodal decoder in 4 bits.`,
    reference
      ? `Beside it, on the same weights, request and noise in the same run: torch ${reference.torch} with diffusers and transformers, eager, float32, the same number of threads (\`training/bench.py\`).`
      : 'Without the Python reference, which was not installed.',
    '',
    'Seconds of one run, the fastest of those in a generation; loading is apart on both sides.',
    '',
    '| network | TypeScript | Python | ratio | load | resident GB |',
    '|---|---|---|---|---|---|',
    ...rows,
    '',
    `- Whole generation, ${ours.steps} steps, every network loaded on the way under a budget of 6 GiB of weights: ${seconds(ours.wholeMs / 1000)} s.`,
    `- Most resident memory: ${gigabytes(ours.peakBytes)} GB${reference ? `; the Python side ${gigabytes(reference.peakBytes)} GB, without the multimodal decoder, of which it holds one layer (all 32 take 27 GB in float32; its time above is 32 × that layer's)` : ''}.`,
    `- Longest time the main thread was blocked: ${ours.longestBlockMs.toFixed(0)} ms.`,
    ...(reference
      ? [
          `- The latents of the two sides after ${ours.steps} steps differ by ${reference.latentsDifference.toExponential(1)} of their largest value.`,
        ]
      : []),
    '',
    'Made by `npm run bench -- --write`; `npm run bench:networks` times every network alone beside a measured ceiling.',
    '',
  ]
  return lines.join('\n')
}
