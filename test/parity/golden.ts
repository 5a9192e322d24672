import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { Graph } from '../../services/lib/graph/build.ts'
import { type FloatTensor, floatTensor, type HostTensor, intTensor } from '../../services/lib/runtime/tensor.ts'
import { openCheckpoint, readTensor } from '../../services/lib/weights/checkpoint.ts'
import { Weights } from '../../services/lib/weights/weights.ts'

/** What a reference library computed: tensors by name, and the config of the network that did. */
export interface Golden {
  readonly config: unknown
  /** Input `in.<name>`. */
  readonly in: (name: string) => HostTensor
  /** Output `out.<name>`. */
  readonly out: (name: string) => FloatTensor
  readonly names: readonly string[]
}

export function dataPath(path: string): string {
  return fileURLToPath(new URL(`data/${path}`, import.meta.url))
}

/** The weights of a recorded checkpoint, in float32. */
export function goldenWeights(path: string): Weights {
  return new Weights(openCheckpoint(dataPath(path)))
}

export function readGolden(name: string): Golden {
  const { tensors } = openCheckpoint(dataPath(`${name}/golden.safetensors`))
  const read = (full: string): HostTensor => {
    const entry = tensors.get(full)
    if (!entry) throw new Error(`golden ${name} has no tensor '${full}'; it has ${[...tensors.keys()].join(', ')}`)
    const { buffer } = readTensor(entry)
    if (entry.dtype === 'int64') return intTensor(entry.shape, [...new BigInt64Array(buffer)].map(Number))
    return floatTensor(entry.shape, new Float32Array(buffer))
  }
  return {
    config: readJson(`${name}/config.json`),
    in: (tensor) => read(`in.${tensor}`),
    out: (tensor) => {
      const value = read(`out.${tensor}`)
      if (value.dtype !== 'float32') throw new Error(`golden ${name}: out.${tensor} is ${value.dtype}`)
      return value
    },
    names: [...tensors.keys()],
  }
}

export function readJson(path: string): unknown {
  return JSON.parse(readFileSync(dataPath(path), 'utf8'))
}

export interface OpenGraph {
  run(feeds: Readonly<Record<string, HostTensor>>): Promise<Record<string, FloatTensor>>
  release(): Promise<void>
}

/** Loads a graph, here in the test's thread. */
export async function openGraph(graph: Graph): Promise<OpenGraph> {
  const session = await InferenceSession.create(graph.encode('/'), {
    logSeverityLevel: 3,
    extra: { session: { model_external_initializers_file_folder_path: '/' } },
  })
  return {
    async run(feeds) {
      const inputs = Object.entries(feeds).map(([name, { dtype, data, shape }]): [string, Tensor] => [
        name,
        new Tensor(dtype, data, shape),
      ])
      const results = await session.run(Object.fromEntries(inputs))
      return Object.fromEntries(
        Object.entries(results).map(([name, { data, dims }]) => [name, floatTensor(dims, data as Float32Array)]),
      )
    },
    release: () => session.release(),
  }
}

/** Runs a graph once. */
export async function runGraph(
  graph: Graph,
  feeds: Readonly<Record<string, HostTensor>>,
): Promise<Record<string, FloatTensor>> {
  const opened = await openGraph(graph)
  try {
    return await opened.run(feeds)
  } finally {
    await opened.release()
  }
}

/** Largest difference as a share of the reference's largest value; infinite where shapes or NaNs differ. */
export function relativeError(got: FloatTensor | undefined, expected: FloatTensor): number {
  if (!got || got.shape.join() !== expected.shape.join()) return Number.POSITIVE_INFINITY
  let difference = 0
  let largest = 0
  for (const [index, number] of expected.data.entries()) {
    const distance = Math.abs(got.data[index]! - number)
    if (!(distance <= difference)) difference = Number.isNaN(distance) ? Number.POSITIVE_INFINITY : distance
    largest = Math.max(largest, Math.abs(number))
  }
  return difference / largest
}

/** Rounding of float32 sums of a few thousand terms in another order: blocks and networks must agree this well. */
export const networkTolerance = 1e-4
