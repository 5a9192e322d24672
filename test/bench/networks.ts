// Times every network at its real configuration with random weights, beside a matrix product measured in the same
// run: npm run bench:networks [-- name…]
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { contextGraph } from '../../services/context/context-graph.ts'
import { readLlamaConfig } from '../../services/context/llama.ts'
import { clipTextGraph, readClipTextConfig } from '../../services/denoise/clip-text.ts'
import { conditionGraph } from '../../services/denoise/condition-graph.ts'
import { stepGraph } from '../../services/denoise/step-graph.ts'
import { subjectGraph } from '../../services/denoise/subject-graph.ts'
import { readUNetConfig } from '../../services/denoise/unet.ts'
import { readVaeConfig, vaeDecoderGraph, vaeEncoderGraph } from '../../services/denoise/vae.ts'
import { build, type Graph } from '../../services/lib/graph/build.ts'
import { countOperations } from '../../services/lib/graph/operations.ts'
import { matmul } from '../../services/lib/graph/ops/matrix.ts'
import { evaluateShape } from '../../services/lib/graph/shape.ts'
import { input } from '../../services/lib/graph/value.ts'
import { sessionOptions, weightsRoot } from '../../services/lib/runtime/session.ts'
import { Weights } from '../../services/lib/weights/weights.ts'
import { imageEmbeddingGraph, patchFeaturesGraph, readClipVisionConfig } from '../../services/vision/clip-vision.ts'
import { randomCheckpoint, readLayout, readLayoutConfig } from './random-weights.ts'

const threads = availableParallelism()

type Compute = Weights['compute']

interface Bench {
  readonly name: string
  /** Convolutions are rewritten to fewer operations in float32 alone: float16 gives the plain form to count. */
  readonly graph: (compute?: Compute) => Graph
  /** Sizes of the open axes: 512², one image, a subject that covers half of its photo. */
  readonly sizes: Record<string, number>
  readonly runs: number
  readonly profile?: boolean
}

const unet = () => readUNetConfig(readLayoutConfig('unet-sd15'), 'unet')
const vae = () => readVaeConfig(readLayoutConfig('vae-sd'), 'vae')
const weights = (layout: string, compute: Compute = 'float32') =>
  new Weights(randomCheckpoint(readLayout(layout), 'float32'), compute)
const subjectKeys = { subject_keys_0: 2048, subject_keys_1: 512, subject_keys_2: 128, subject_keys_3: 32 }
const size512 = { batch: 1, images: 1, height: 8, width: 8 }

const benches: Bench[] = [
  {
    name: 'CLIP-L/14-336 patch features',
    graph: () =>
      patchFeaturesGraph(
        weights('clip-vision-l14-336'),
        readClipVisionConfig(readLayoutConfig('clip-vision-l14-336'), 'clip-l'),
      ),
    sizes: { batch: 1 },
    runs: 2,
  },
  {
    name: 'ViT-H/14 image embedding',
    graph: () =>
      imageEmbeddingGraph(
        weights('clip-vision-h14'),
        readClipVisionConfig(readLayoutConfig('clip-vision-h14'), 'vit-h'),
        1024,
      ),
    sizes: { batch: 1 },
    runs: 2,
  },
  {
    name: 'projector, LLaMA 7B int4, mapping',
    graph: () => {
      const config = {
        ...readLlamaConfig(readLayoutConfig('llava-llama-7b'), 'llava'),
        featureChannels: 1024,
        mapping: 'gated',
        embeddingChannels: 1024,
      } as const
      const map = weights('moma-adapters').at('llm_mapping.mapping')
      return contextGraph(
        new Weights(randomCheckpoint(int4Layout(readLayout('llava-llama-7b')), 'float16')),
        map,
        config,
      )
    },
    sizes: { batch: 1, patches: 576, before: 5, after: 40 },
    runs: 1,
  },
  {
    name: 'CLIP-L text, two texts',
    graph: () => clipTextGraph(weights('clip-text-l'), readClipTextConfig(readLayoutConfig('clip-text-l'), 'text')),
    sizes: { batch: 2 },
    runs: 3,
  },
  {
    name: 'VAE encoder, 512²',
    graph: (compute) => vaeEncoderGraph(weights('vae-sd', compute), vae()),
    sizes: size512,
    runs: 1,
  },
  {
    name: 'UNet subject pass, 512²',
    graph: (compute) =>
      subjectGraph(
        weights('unet-sd15', compute),
        weights('moma-adapters', compute).at('self_cross_attentions'),
        unet(),
      ),
    sizes: { ...size512, text_tokens: 73, ...subjectKeys },
    runs: 1,
  },
  {
    name: 'UNet conditions',
    graph: () => {
      const adapters = weights('moma-adapters')
      const adapter = {
        projection: adapters.at('projectors'),
        attentions: adapters.at('self_cross_attentions'),
        embeddingChannels: 1024,
      }
      return conditionGraph(weights('unet-sd15'), adapter, unet())
    },
    sizes: { text_tokens: 77 },
    runs: 3,
  },
  {
    name: 'UNet step, 512², both halves',
    graph: (compute) =>
      stepGraph(weights('unet-sd15', compute), weights('moma-adapters', compute).at('self_cross_attentions'), unet()),
    sizes: { ...size512, text_tokens: 77, ...subjectKeys },
    runs: 3,
    profile: true,
  },
  {
    name: 'VAE decoder, 512²',
    graph: (compute) => vaeDecoderGraph(weights('vae-sd', compute), vae()),
    sizes: size512,
    runs: 1,
  },
]

/** Linear layers of the decoder in 4 bits, as a bundle is prepared. */
function int4Layout(layout: Record<string, readonly number[]>): Record<string, readonly number[]> {
  return Object.fromEntries(
    Object.entries(layout).flatMap(([name, shape]): [string, readonly number[]][] => {
      const [rows, columns] = shape
      if (!/layers\.\d+\..*_proj\.weight$/.test(name)) return [[name, shape]]
      return [
        [`${name}.int4`, [rows!, columns! / 32, 16]],
        [`${name}.scales`, [rows!, columns! / 32]],
      ]
    }),
  )
}

async function open(graph: Graph, profileFolder?: string): Promise<InferenceSession> {
  return InferenceSession.create(graph.encode(weightsRoot), {
    ...sessionOptions({ provider: 'cpu', threads }),
    ...(profileFolder ? { enableProfiling: true, profileFilePrefix: join(profileFolder, 'step') } : {}),
  })
}

function randomFeeds(graph: Graph, sizes: Record<string, number>): Record<string, Tensor> {
  return Object.fromEntries(
    Object.values(graph.inputs).map((value): [string, Tensor] => {
      const shape = evaluateShape(value.shape, sizes)
      const count = shape.reduce((product, one) => product * one, 1)
      if (value.dtype === 'int64')
        return [
          value.path,
          new Tensor(
            'int64',
            BigInt64Array.from({ length: count }, (_, i) => BigInt(i % 32)),
            shape,
          ),
        ]
      return [
        value.path,
        new Tensor(
          'float32',
          Float32Array.from({ length: count }, () => Math.random() - 0.5),
          shape,
        ),
      ]
    }),
  )
}

async function fastestMs(session: InferenceSession, feeds: Record<string, Tensor>, runs: number): Promise<number> {
  let fastest = Number.POSITIVE_INFINITY
  for (let run = 0; run < runs; run++) {
    const started = performance.now()
    await session.run(feeds)
    fastest = Math.min(fastest, performance.now() - started)
  }
  return fastest
}

/** GFLOP/s of a 2048³ matrix product, the best of several: what this machine does when nothing is in the way. */
async function ceiling(): Promise<number> {
  const [a, b] = [input('a', 'float32', [2048, 2048]), input('b', 'float32', [2048, 2048])]
  const graph = build('ceiling', [a, b], { c: matmul(a, b) })
  const session = await open(graph)
  const ms = await fastestMs(session, randomFeeds(graph, {}), 10)
  await session.release()
  return countOperations(graph, {}) / ms / 1e6
}

/** Share of the last run's time by op, from onnxruntime's profile. */
function timeByOp(folder: string): Map<string, number> {
  const events: { cat?: string; name: string; ts: number; dur: number; args?: { op_name?: string } }[] = JSON.parse(
    readFileSync(join(folder, readdirSync(folder)[0]!), 'utf8'),
  )
  rmSync(folder, { recursive: true })
  const lastRun = Math.max(...events.filter(({ name }) => name === 'model_run').map(({ ts }) => ts))
  const kernels = events.filter(({ cat, name, ts }) => cat === 'Node' && name.endsWith('_kernel_time') && ts >= lastRun)
  const times = new Map<string, number>()
  for (const { args, dur } of kernels) times.set(args!.op_name!, (times.get(args!.op_name!) ?? 0) + dur / 1000)
  return new Map([...times].sort(([, a], [, b]) => b - a))
}

const wanted = process.argv.slice(2)
console.log(
  `${cpus()[0]?.model}, ${threads} threads, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, onnxruntime-node on the CPU, float32`,
)
console.log('GFLOP: operations done; plain: those of the same network with plain convolutions.')
console.log(
  `${'network'.padEnd(36)}${'emit ms'.padStart(9)}${'load s'.padStart(9)}${'GFLOP'.padStart(9)}${'plain'.padStart(9)}${'run ms'.padStart(10)}${'GFLOP/s'.padStart(9)}${'ceiling'.padStart(9)}${'ratio'.padStart(8)}`,
)
for (const bench of benches.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)))) {
  const before = await ceiling()
  let started = performance.now()
  const graph = bench.graph()
  graph.encode(weightsRoot)
  const emitMs = performance.now() - started
  started = performance.now()
  const profileFolder = bench.profile ? mkdtempSync(join(tmpdir(), 'moma-profile-')) : undefined
  const session = await open(graph, profileFolder)
  const loadS = (performance.now() - started) / 1000
  const runMs = await fastestMs(session, randomFeeds(graph, bench.sizes), bench.runs)
  if (profileFolder) session.endProfiling()
  await session.release()
  const best = Math.max(before, await ceiling())
  const operations = countOperations(graph, bench.sizes)
  const rate = operations / runMs / 1e6
  const columns = [
    emitMs.toFixed(0).padStart(9),
    loadS.toFixed(1).padStart(9),
    (operations / 1e9).toFixed(0).padStart(9),
    (countOperations(bench.graph('float16'), bench.sizes) / 1e9).toFixed(0).padStart(9),
    runMs.toFixed(0).padStart(10),
    rate.toFixed(0).padStart(9),
    best.toFixed(0).padStart(9),
    `${((100 * rate) / best).toFixed(0)} %`.padStart(8),
  ]
  console.log(bench.name.padEnd(36) + columns.join(''))
  if (profileFolder) {
    const times = timeByOp(profileFolder)
    const total = [...times.values()].reduce((sum, ms) => sum + ms, 0)
    const shares = [...times].slice(0, 8).map(([op, ms]) => `${op} ${((100 * ms) / total).toFixed(1)} %`)
    console.log(`  of the step's time: ${shares.join(', ')}`)
  }
}
