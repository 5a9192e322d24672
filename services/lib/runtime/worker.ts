// The networks' thread: `run` of onnxruntime-node blocks the thread that calls it for as long as the network takes.
import { parentPort, workerData } from 'node:worker_threads'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import type { Graph } from '../graph/build.ts'
import { weightBytes } from '../graph/folding.ts'
import { graphBuilder } from './graph-builder.ts'
import { createAndKeep, forget, type KeptNetwork, keptNetwork } from './kept-network.ts'
import { isModelFile, type ModelFile } from './model-file.ts'
import { probe } from './probe.ts'
import type { Answer, Order, WorkerData } from './protocol.ts'
import type { Recipe } from './recipe.ts'
import { fileOptions, keptOptions, sessionOptions, weightsRoot } from './session.ts'
import type { HostTensor } from './tensor.ts'

interface Seated {
  readonly recipe: Recipe
  readonly kept: KeptNetwork | null
  /** Null where a kept one stands for it. */
  readonly made: Graph | ModelFile | null
  session?: InferenceSession
}

const manyNodes = 500
const smallBytes = 64 * 2 ** 20

const { execution } = workerData as WorkerData
const port = parentPort!
const seats = new Map<number, Seated>()

port.on('message', async (order: Order) => {
  const started = performance.now()
  try {
    const answer = await carryOut(order)
    port.postMessage({ id: order.id, ...answer, elapsedMs: performance.now() - started } satisfies Answer)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const broken = (order.kind === 'load' || order.kind === 'run') && (await isBroken())
    port.postMessage({ id: order.id, kind: 'failed', message, broken } satisfies Answer)
  }
  if (order.kind === 'close' && order.last) port.close()
})

async function carryOut(order: Order) {
  switch (order.kind) {
    case 'emit': {
      const { recipe, seat } = order
      const kept = keptNetwork(execution, recipe)
      const made = kept?.weightBytes ? null : (await graphBuilder(recipe))()
      seats.set(seat, { recipe, kept, made })
      return { kind: 'emitted', weightBytes: made ? bytesOf(made) : kept!.weightBytes! } as const
    }
    case 'load': {
      const seated = seats.get(order.seat)!
      seated.session = await load(seated)
      return { kind: 'done' } as const
    }
    case 'run':
      return { kind: 'results', results: await run(seats.get(order.seat)!.session!, order.feeds) } as const
    case 'close':
      await seats.get(order.seat)?.session?.release()
      seats.delete(order.seat)
      return { kind: 'done' } as const
  }
}

async function load({ recipe, kept, made }: Seated): Promise<InferenceSession> {
  if (kept && !made) {
    try {
      return await InferenceSession.create(kept.file, keptOptions(execution))
    } catch {
      forget(kept)
    }
  }
  const emitted = made ?? (await graphBuilder(recipe))()
  if (isModelFile(emitted)) return InferenceSession.create(emitted.modelFile, fileOptions(execution))
  const options = sessionOptions(execution)
  if (isManyAndSmall(emitted)) options.graphOptimizationLevel = 'extended'
  return createAndKeep(kept, emitted, (more) =>
    InferenceSession.create(emitted.encode(weightsRoot), { ...options, ...more }),
  )
}

/**
 * Whether the provider is at fault, and not what the network was asked. A GPU that has faulted once fails everything that
 * this process asks of it from then on; an input that a network can't take fails nothing else.
 */
async function isBroken(): Promise<boolean> {
  return execution.provider !== 'cpu' && !(await probe(execution.provider).catch(() => false))
}

function bytesOf(made: Graph | ModelFile): number {
  return isModelFile(made) ? made.weightBytes : weightBytes(made)
}

/**
 * Whether it takes the runtime longer to find its own layout for the convolutions, and to plan with it, than the
 * miniature's small ones ever give back: of its UNet, nearly half of the time to open.
 */
function isManyAndSmall(graph: Graph): boolean {
  return graph.nodes.length > manyNodes && weightBytes(graph) < smallBytes
}

async function run(
  loaded: InferenceSession,
  feeds: Readonly<Record<string, HostTensor>>,
): Promise<Record<string, HostTensor>> {
  const inputs = Object.entries(feeds).map(([name, { dtype, data, shape }]): [string, Tensor] => [
    name,
    new Tensor(dtype, data, shape),
  ])
  const outputs = await loaded.run(Object.fromEntries(inputs))
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, share(name, tensor)]))
}

function share(name: string, tensor: Tensor): HostTensor {
  if (!(tensor.data instanceof Float32Array))
    throw new TypeError(`output '${name}' is ${tensor.type}, expected float32`)
  const data = new Float32Array(new SharedArrayBuffer(tensor.data.byteLength))
  data.set(tensor.data)
  return { dtype: 'float32', shape: [...tensor.dims], data }
}
