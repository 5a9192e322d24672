// A process of its own, so that what a driver prints or dies of stays here: exit code 0 if the provider computes.
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { build } from '../graph/build.ts'
import { add } from '../graph/ops/elementwise.ts'
import { input } from '../graph/value.ts'
import { isExecutionProvider } from './recipe.ts'
import { sessionOptions, weightsRoot } from './session.ts'

const provider = process.argv[2]
if (!isExecutionProvider(provider)) throw new RangeError(`provider is ${provider}`)
const x = input('x', 'float32', [1])
const graph = build('probe', [x], { y: add(x, x) })
const session = await InferenceSession.create(graph.encode(weightsRoot), sessionOptions({ provider, threads: 1 }))
const { y } = await session.run({ x: new Tensor('float32', [2], [1]) })
process.exit(y?.data[0] === 4 ? 0 : 1)
