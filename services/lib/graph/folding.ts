import type { Graph } from './build.ts'
import { bytesPerElement } from './dtype.ts'
import type { Node, Value } from './value.ts'

/** Nodes that depend on constants and weights alone: the runtime computes them once, at load. */
export function foldedNodes(graph: Graph): ReadonlySet<Node> {
  const folded = new Set<Node>()
  // Nodes come after what they read.
  for (const node of graph.nodes) {
    if (node.inputs.every((operand) => operand === null || isFixed(operand, folded))) folded.add(node)
  }
  return folded
}

/**
 * Memory that the weights take once loaded: what the nodes read that are computed at every run. A weight behind a cast
 * or a transform is kept as that makes it, and the stored one is not.
 */
export function weightBytes(graph: Graph): number {
  const folded = foldedNodes(graph)
  const kept = new Set<Value>()
  const keep = (value: Value | null) => {
    if (value && value.producer.kind !== 'constant' && isFixed(value, folded)) kept.add(value)
  }
  for (const node of graph.nodes) if (!folded.has(node)) node.inputs.forEach(keep)
  Object.values(graph.outputs).forEach(keep)
  return [...kept].reduce(
    (sum, { shape, dtype }) => sum + shape.map(Number).reduce(multiply, bytesPerElement[dtype]),
    0,
  )
}

function isFixed({ producer }: Value, folded: ReadonlySet<Node>): boolean {
  if (producer.kind === 'node') return folded.has(producer.node)
  return producer.kind !== 'input'
}

function multiply(a: number, b: number): number {
  return a * b
}
