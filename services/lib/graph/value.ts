import { bytesPerElement, type DType } from './dtype.ts'
import { parseShape, type Shape, showShape } from './shape.ts'

/**
 * A tensor of a graph under construction: frozen, its dtype and shape known at once. Values are made by `input`,
 * `constant`, `external` and the functions in `ops/`; `build` turns what is reachable from some outputs into ONNX.
 */
export interface Value {
  readonly dtype: DType
  readonly shape: Shape
  /** Where it comes from, for people: an input's name, a tensor's path, or the module path of the weights behind it. */
  readonly path: string
  readonly producer: Producer
}

export type Producer =
  | { readonly kind: 'input'; readonly name: string }
  | { readonly kind: 'constant'; readonly data: Uint8Array }
  | { readonly kind: 'external'; readonly name: string; readonly data: ExternalData }
  | { readonly kind: 'node'; readonly node: Node; readonly output: number }

/** Bytes that stay in the file where they lie. */
export interface ExternalData {
  /** Absolute path. */
  readonly file: string
  readonly offset: number
  readonly length: number
}

export interface Node {
  readonly op: string
  /** '' is ai.onnx. */
  readonly domain: '' | 'com.microsoft'
  readonly inputs: readonly (Value | null)[]
  readonly attributes: Readonly<Record<string, Attribute>>
  readonly outputCount: number
  readonly path: string
}

/** Tagged, because ONNX tells an int from a float and JavaScript does not. */
export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly string: string }
  | { readonly ints: readonly number[] }

/** A mistake in a graph: what op, on what path, what was expected and what came. Points at the caller of the op. */
export class GraphError extends Error {
  override readonly name = 'GraphError'
}

/** Builds the error for `op`; stack traces begin at the caller of `opFunction`. */
export function graphError(
  opFunction: unknown,
  op: string,
  operands: readonly (Value | null)[],
  problem: string,
): GraphError {
  const shown = operands
    .filter((operand) => operand !== null)
    .map((operand) => `${operand.dtype}${showShape(operand.shape)}`)
  const error = new GraphError(`${op} at ${pathOf(operands)}: ${problem} (operands ${shown.join(', ')})`)
  if (typeof opFunction === 'function') Error.captureStackTrace(error, opFunction as (...args: never[]) => unknown)
  return error
}

/** A tensor that the caller hands in at every run. Shape entries are sizes, names or products such as `'8*height'`. */
export function input(name: string, dtype: DType, shape: readonly (string | number)[]): Value {
  return freezeValue({ dtype, shape: parseShape(shape), path: name, producer: { kind: 'input', name } })
}

/** A small tensor inside the graph. Throws a GraphError where the numbers do not fill the shape. */
export function constant(
  dtype: 'float32' | 'int64' | 'int32' | 'bool',
  shape: readonly number[],
  numbers: readonly number[],
): Value {
  const count = shape.reduce((product, size) => product * size, 1)
  if (numbers.length !== count) {
    throw new GraphError(`constant: shape [${shape.join(', ')}] holds ${count} numbers, got ${numbers.length}`)
  }
  const array =
    dtype === 'float32'
      ? new Float32Array(numbers)
      : dtype === 'int64'
        ? new BigInt64Array(numbers.map(BigInt))
        : dtype === 'int32'
          ? new Int32Array(numbers)
          : new Uint8Array(numbers)
  const data = new Uint8Array(array.buffer)
  return freezeValue({ dtype, shape: parseShape(shape), path: 'constant', producer: { kind: 'constant', data } })
}

/** A tensor whose bytes stay in a checkpoint. Throws a GraphError where the length is not the shape's. */
export function external(name: string, dtype: DType, shape: readonly number[], data: ExternalData): Value {
  const length = shape.reduce((product, size) => product * size, bytesPerElement[dtype])
  if (data.length !== length) {
    throw new GraphError(
      `${name}: ${dtype}[${shape.join(', ')}] takes ${length} bytes, ${data.file} holds ${data.length}`,
    )
  }
  return freezeValue({ dtype, shape: parseShape(shape), path: name, producer: { kind: 'external', name, data } })
}

/** Adds one node and returns its outputs. Only the op functions call it: they have checked the operands. */
export function emit(
  op: { readonly name: string; readonly domain?: 'com.microsoft' },
  inputs: readonly (Value | null)[],
  attributes: Readonly<Record<string, Attribute>>,
  outputs: readonly { readonly dtype: DType; readonly shape: Shape }[],
): Value[] {
  const path = pathOf(inputs)
  const node: Node = Object.freeze({
    op: op.name,
    domain: op.domain ?? '',
    inputs,
    attributes,
    outputCount: outputs.length,
    path,
  })
  return outputs.map(({ dtype, shape }, output) =>
    freezeValue({ dtype, shape, path, producer: { kind: 'node', node, output } }),
  )
}

/** Like `emit` for the ops with one output. */
export function emitOne(
  op: { readonly name: string; readonly domain?: 'com.microsoft' },
  inputs: readonly (Value | null)[],
  attributes: Readonly<Record<string, Attribute>>,
  dtype: DType,
  shape: Shape,
): Value {
  return emit(op, inputs, attributes, [{ dtype, shape }])[0]!
}

/** The module of the first weight among the operands, else where the first operand came from. */
function pathOf(operands: readonly (Value | null)[]): string {
  const present = operands.filter((operand) => operand !== null)
  for (const operand of present) {
    const tensor = tensorPath(operand)
    if (tensor !== undefined) return tensor.split('.').slice(0, -1).join('.') || tensor
  }
  return (present.find((operand) => operand.producer.kind !== 'constant') ?? present[0])?.path ?? 'graph'
}

/** The checkpoint's name of a weight, also behind the cast to the precision that is computed in. */
function tensorPath(value: Value): string | undefined {
  if (value.producer.kind === 'external') return value.producer.name
  if (value.producer.kind !== 'node' || value.producer.node.op !== 'Cast') return undefined
  const source = value.producer.node.inputs[0]
  return source?.producer.kind === 'external' ? source.producer.name : undefined
}

function freezeValue(value: Value): Value {
  Object.freeze(value.shape)
  return Object.freeze(value)
}
