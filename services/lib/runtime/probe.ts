import { InferenceSession, Tensor } from 'onnxruntime-node'
import { build } from '../graph/build.ts'
import { add } from '../graph/ops/elementwise.ts'
import { input } from '../graph/value.ts'
import type { ExecutionProvider } from './recipe.ts'
import { sessionOptions, weightsRoot } from './session.ts'

/** Throws, or gives false, unless `provider` computes a small graph in this process. */
export async function probe(provider: ExecutionProvider): Promise<boolean> {
  const x = input('x', 'float32', [1])
  const graph = build('probe', [x], { y: add(x, x) })
  const session = await InferenceSession.create(graph.encode(weightsRoot), sessionOptions({ provider, threads: 1 }))
  const { y } = await session.run({ x: new Tensor('float32', [2], [1]) })
  await session.release()
  return y?.data[0] === 4
}
