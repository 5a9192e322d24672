import { relative } from 'node:path'
import { showDim } from './dimension.ts'
import { onnxElementType } from './dtype.ts'
import { type Attribute, type ExternalData, GraphError, type Node, type Value } from './value.ts'
import { encodeModel, type GraphMessage, type NodeMessage, type TensorMessage, type ValueInfoMessage } from './wire.ts'

/** A finished graph. The same values give the same bytes. */
export interface Graph {
  readonly name: string
  readonly inputs: Readonly<Record<string, Value>>
  readonly outputs: Readonly<Record<string, Value>>
  /** In an order in which every node comes after what it reads. */
  readonly nodes: readonly Node[]
  /** Files that hold weights, absolute, each once. */
  readonly files: readonly string[]
  /**
   * The serialized ModelProto. `folder` (absolute) is the one that the runtime resolves weight files against; every
   * file must lie inside it, which `'/'` always satisfies.
   */
  encode(folder: string): Uint8Array
}

/** ai.onnx opset that the functions in `ops/` are written for. */
export const opset = 21
const contribOpset = 1
const irVersion = 10

/**
 * Collects what `outputs` need. Throws a GraphError when an output depends on an input that is not among `inputs`,
 * when two inputs or an input and an output share a name, or when an input feeds nothing.
 */
export function build(name: string, inputs: readonly Value[], outputs: Readonly<Record<string, Value>>): Graph {
  const inputsByName = new Map<string, Value>()
  for (const value of inputs) {
    if (value.producer.kind !== 'input') throw new GraphError(`graph '${name}': ${value.path} is no input`)
    if (inputsByName.has(value.producer.name))
      throw new GraphError(`graph '${name}': two inputs are named '${value.path}'`)
    inputsByName.set(value.producer.name, value)
  }
  const { nodes, leaves } = sortNodes(Object.values(outputs))
  for (const leaf of leaves) {
    if (leaf.producer.kind === 'input' && inputsByName.get(leaf.producer.name) !== leaf) {
      throw new GraphError(`graph '${name}': the outputs depend on the input '${leaf.path}', which is not listed`)
    }
  }
  for (const outputName of Object.keys(outputs)) {
    if (inputsByName.has(outputName))
      throw new GraphError(`graph '${name}': '${outputName}' names an input and an output`)
  }
  for (const value of inputs) {
    if (!leaves.has(value)) throw new GraphError(`graph '${name}': the input '${value.path}' feeds no output`)
  }
  const files = new Set<string>()
  for (const leaf of leaves) if (leaf.producer.kind === 'external') files.add(leaf.producer.data.file)
  return Object.freeze({
    name,
    inputs: Object.freeze(Object.fromEntries(inputsByName)),
    outputs: Object.freeze({ ...outputs }),
    nodes,
    files: [...files].sort(),
    encode: (folder: string) =>
      encodeModel({
        irVersion,
        producerName: 'moma-mesh',
        graph: graphMessage(name, [...inputsByName.values()], outputs, nodes, leaves, folder),
        opsetImport: [
          { domain: '', version: opset },
          { domain: 'com.microsoft', version: contribOpset },
        ],
      }),
  })
}

/** Depth first from the outputs, without recursion: real networks are thousands of nodes deep. */
function sortNodes(outputs: readonly Value[]): { nodes: Node[]; leaves: Set<Value> } {
  const nodes: Node[] = []
  const leaves = new Set<Value>()
  const done = new Set<Node>()
  const stack: { node: Node; next: number }[] = []
  const visit = (value: Value) => {
    if (value.producer.kind === 'node') {
      if (!done.has(value.producer.node)) stack.push({ node: value.producer.node, next: 0 })
    } else leaves.add(value)
  }
  for (const output of outputs) {
    visit(output)
    while (stack.length > 0) {
      const top = stack.at(-1)!
      if (done.has(top.node)) {
        stack.pop()
      } else if (top.next < top.node.inputs.length) {
        const operand = top.node.inputs[top.next++]
        if (operand) visit(operand)
      } else {
        stack.pop()
        done.add(top.node)
        nodes.push(top.node)
      }
    }
  }
  return { nodes, leaves }
}

function graphMessage(
  name: string,
  inputs: readonly Value[],
  outputs: Readonly<Record<string, Value>>,
  nodes: readonly Node[],
  leaves: ReadonlySet<Value>,
  folder: string,
): GraphMessage {
  const names = new NameTable()
  for (const value of inputs) names.claim(value, value.path)
  const outputNodes: NodeMessage[] = []
  for (const [outputName, value] of Object.entries(outputs)) {
    if (names.has(value)) outputNodes.push(identity(names.of(value), outputName))
    else names.claim(value, outputName)
  }
  const initializers: TensorMessage[] = []
  const constants = new Map<string, string>()
  for (const leaf of leaves) {
    if (leaf.producer.kind === 'external') {
      names.claim(leaf, leaf.producer.name)
      initializers.push(externalTensor(names.of(leaf), leaf, leaf.producer.data, folder))
    } else if (leaf.producer.kind === 'constant') {
      const key = `${leaf.dtype} ${leaf.shape.join(',')} ${Buffer.from(leaf.producer.data).toString('base64')}`
      const known = constants.get(key)
      if (known !== undefined) names.alias(leaf, known)
      else {
        names.claim(leaf, `constant_${constants.size}`)
        constants.set(key, names.of(leaf))
        initializers.push({ ...tensorHead(names.of(leaf), leaf), rawData: leaf.producer.data })
      }
    }
  }
  return {
    name,
    node: [...nodes.map((node) => nodeMessage(node, names)), ...outputNodes],
    initializer: initializers,
    input: inputs.map((value) => valueInfo(names.of(value), value)),
    output: Object.entries(outputs).map(([outputName, value]) => valueInfo(outputName, value)),
    valueInfo: handedOn(nodes, Object.values(outputs)).map((value) => valueInfo(names.of(value), value)),
  }
}

/**
 * What nodes hand on to others, each once, the graph's outputs left out. Their shapes are told to the runtime: it can't
 * follow sizes through a Reshape, and finds memory to use again, by a search that is quadratic otherwise, only where it
 * knows two sizes to be the same.
 */
function handedOn(nodes: readonly Node[], outputs: readonly Value[]): Value[] {
  const seen = new Map(nodes.map((node): [Node, Set<number>] => [node, new Set()]))
  const isNew = ({ producer }: Value) => {
    if (producer.kind !== 'node' || seen.get(producer.node)!.has(producer.output)) return false
    seen.get(producer.node)!.add(producer.output)
    return true
  }
  outputs.forEach(isNew)
  return nodes.flatMap(({ inputs }) => inputs.filter((value): value is Value => value !== null && isNew(value)))
}

/** Unique names; node outputs are found by node and index, because an op's unused outputs have no Value at hand. */
class NameTable {
  readonly #byLeaf = new Map<Value, string>()
  readonly #byNode = new Map<Node, (string | undefined)[]>()
  readonly #taken = new Map<string, number>()

  has(value: Value): boolean {
    return this.#find(value) !== undefined
  }

  of(value: Value): string {
    const name = this.#find(value)
    if (name !== undefined) return name
    this.claim(value, `${value.path}/${value.producer.kind === 'node' ? value.producer.node.op : 'value'}`)
    return this.#find(value)!
  }

  claim(value: Value, wanted: string): void {
    this.alias(value, this.unique(wanted))
  }

  alias(value: Value, name: string): void {
    if (value.producer.kind !== 'node') this.#byLeaf.set(value, name)
    else this.outputsOf(value.producer.node)[value.producer.output] = name
  }

  unique(wanted: string): string {
    const used = this.#taken.get(wanted) ?? 0
    this.#taken.set(wanted, used + 1)
    return used === 0 ? wanted : this.unique(`${wanted}_${used}`)
  }

  outputsOf(node: Node): (string | undefined)[] {
    let outputs = this.#byNode.get(node)
    if (!outputs) {
      outputs = new Array<string | undefined>(node.outputCount)
      this.#byNode.set(node, outputs)
    }
    return outputs
  }

  #find(value: Value): string | undefined {
    if (value.producer.kind !== 'node') return this.#byLeaf.get(value)
    return this.outputsOf(value.producer.node)[value.producer.output]
  }
}

function nodeMessage(node: Node, names: NameTable): NodeMessage {
  const outputs = names.outputsOf(node)
  for (let index = 0; index < node.outputCount; index++) outputs[index] ??= names.unique(`${node.path}/${node.op}`)
  return {
    name: outputs[0]!,
    opType: node.op,
    domain: node.domain,
    input: node.inputs.map((operand) => (operand ? names.of(operand) : '')),
    output: outputs.map((output) => output ?? ''),
    attribute: Object.entries(node.attributes).map(([name, value]) => attributeMessage(name, value)),
  }
}

function attributeMessage(name: string, value: Attribute) {
  if ('int' in value) return { name, i: value.int, type: 2 }
  if ('float' in value) return { name, f: value.float, type: 1 }
  if ('string' in value) return { name, s: Buffer.from(value.string), type: 3 }
  return { name, ints: [...value.ints], type: 7 }
}

function identity(from: string, to: string): NodeMessage {
  return { name: to, opType: 'Identity', domain: '', input: [from], output: [to], attribute: [] }
}

function tensorHead(name: string, value: Value): TensorMessage {
  return { name, dims: value.shape.map(Number), dataType: onnxElementType[value.dtype] }
}

function externalTensor(name: string, value: Value, data: ExternalData, folder: string): TensorMessage {
  const location = relative(folder, data.file)
  if (location.startsWith('..')) throw new GraphError(`${name}: ${data.file} does not lie inside ${folder}`)
  return {
    ...tensorHead(name, value),
    dataLocation: 1,
    externalData: [
      { key: 'location', value: location },
      { key: 'offset', value: String(data.offset) },
      { key: 'length', value: String(data.length) },
    ],
  }
}

function valueInfo(name: string, value: Value): ValueInfoMessage {
  const dim = value.shape.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: showDim(size) }))
  return { name, type: { tensorType: { elemType: onnxElementType[value.dtype], shape: { dim } } } }
}
