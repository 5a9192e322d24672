// How long one picture takes whoever asks for it at the command line, from the command to the file, with the bundle that
// comes along: npm run bench:picture [-- --times 5]. Writes a section of docs/performance.md with --write.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { drawExamples } from '../../gateway/studio/examples.ts'
import { writeSection } from './section.ts'

const { values: options } = parseArgs({
  options: { times: { type: 'string', default: '5' }, write: { type: 'boolean', default: false } },
})
const ways = [
  { name: "50 steps of ddim, the paper's", more: ['--sampler', 'ddim', '--steps', '50'] },
  { name: '16 steps of unipc', more: ['--sampler', 'unipc', '--steps', '16'] },
]
const moma = fileURLToPath(new URL('../../bin/moma.js', import.meta.url))

using folder = new DisposableStack()
const out = mkdtempSync(join(tmpdir(), 'moma-bench-'))
folder.defer(() => rmSync(out, { recursive: true, force: true }))
await drawExamples(join(out, 'photos'))

// Nothing is kept yet: the first run says what it takes to compile, build and optimise everything.
const env = { ...process.env, NODE_COMPILE_CACHE: join(out, 'kept') }

/** Seconds. */
function draw(more: readonly string[]): number {
  const started = performance.now()
  const given = [
    '--image',
    join(out, 'photos/owl.jpg'),
    '--label',
    'owl',
    '--prompt',
    'an owl in the snow',
    '--out',
    out,
  ]
  // As a shell starts it: by whatever node there is.
  const { status, stderr } = spawnSync('node', [moma, 'generate', ...given, '--quiet', '--no-preview', ...more], {
    encoding: 'utf8',
    env,
  })
  if (status !== 0) throw new Error(`moma generate failed: ${stderr}`)
  return (performance.now() - started) / 1000
}

const rows = ways.map(({ name, more }) => {
  rmSync(env.NODE_COMPILE_CACHE, { recursive: true, force: true })
  const first = draw(more)
  const seconds = Array.from({ length: Number(options.times) }, () => draw(more)).sort((a, b) => a - b)
  return `| ${name} | ${seconds[Math.floor(seconds.length / 2)]!.toFixed(2)} | ${seconds.at(-1)!.toFixed(2)} | ${first.toFixed(2)} |`
})
const section = [
  '## One picture at the command line',
  '',
  `${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${availableParallelism()} threads; \`moma generate\` with the bundle that comes along, on a photo without a mask, from the`,
  `command to the file, in seconds; ${options.times} times each, after a first one that had to compile the code and to build and`,
  'optimise the networks, and kept both.',
  '',
  '| way | median | slowest | first |',
  '|---|---|---|---|',
  ...rows,
  '',
  'Made by `npm run bench:picture -- --write`.',
  '',
].join('\n')
console.log(section)
if (options.write) writeSection(section)
