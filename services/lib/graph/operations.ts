import type { Graph } from './build.ts'
import { foldedNodes } from './folding.ts'
import { evaluateShape } from './shape.ts'
import type { Node, Value } from './value.ts'

/**
 * Floating-point operations that one run of the graph must do in its matrix products, convolutions and attentions,
 * two for every multiply-add, at the given sizes of the open axes. The rest (norms, activations, copies) is bound by
 * memory, not counted, and neither is what is computed once, at load. Throws a RangeError on an open axis without a size.
 */
export function countOperations(graph: Graph, sizes: Readonly<Record<string, number>>): number {
  const outputs = firstOutputs(graph)
  const folded = foldedNodes(graph)
  let total = 0
  for (const node of graph.nodes) {
    if (folded.has(node)) continue
    const shapes = node.inputs.map((operand) => (operand ? evaluateShape(operand.shape, sizes) : []))
    const output = outputs.get(node)
    if (output) total += operationsOf(node, shapes, evaluateShape(output.shape, sizes))
  }
  return total
}

function operationsOf(node: Node, inputs: readonly number[][], output: readonly number[]): number {
  const results = product(output)
  switch (node.op) {
    case 'Conv':
      return 2 * results * product(inputs[1]!.slice(1))
    case 'MatMul':
    case 'FusedMatMul':
    case 'Gemm':
    case 'MatMulNBits':
      return 2 * results * inputs[0]!.at(-1)!
    case 'MultiHeadAttention':
      // q·kᵀ and the probabilities times v: each as many products as there are results and keys.
      return 4 * results * inputs[1]![1]!
    default:
      return 0
  }
}

/** The first output of every node that something reads; the counted ops have one. */
function firstOutputs(graph: Graph): Map<Node, Value> {
  const outputs = new Map<Node, Value>()
  const note = (value: Value | null) => {
    if (value?.producer.kind === 'node' && value.producer.output === 0) outputs.set(value.producer.node, value)
  }
  for (const node of graph.nodes) node.inputs.forEach(note)
  Object.values(graph.outputs).forEach(note)
  return outputs
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1)
}
