import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type protobuf from 'protobufjs'

export interface ModelMessage {
  readonly irVersion: number
  readonly producerName: string
  readonly graph: GraphMessage
  readonly opsetImport: readonly { readonly domain: string; readonly version: number }[]
}

export interface GraphMessage {
  readonly name: string
  readonly node: readonly NodeMessage[]
  readonly initializer: readonly TensorMessage[]
  readonly input: readonly ValueInfoMessage[]
  readonly output: readonly ValueInfoMessage[]
  readonly valueInfo: readonly ValueInfoMessage[]
}

export interface NodeMessage {
  readonly name: string
  readonly opType: string
  readonly domain: string
  readonly input: readonly string[]
  readonly output: readonly string[]
  readonly attribute: readonly {
    readonly name: string
    readonly type: number
    readonly f?: number
    readonly i?: number
    readonly s?: Uint8Array
    readonly ints?: readonly number[]
  }[]
}

export interface TensorMessage {
  readonly name: string
  readonly dims: readonly number[]
  readonly dataType: number
  readonly rawData?: Uint8Array
  readonly externalData?: readonly { readonly key: string; readonly value: string }[]
  readonly dataLocation?: number
}

export interface ValueInfoMessage {
  readonly name: string
  readonly type: {
    readonly tensorType: {
      readonly elemType: number
      readonly shape: { readonly dim: readonly ({ readonly dimValue: number } | { readonly dimParam: string })[] }
    }
  }
}

let modelType: protobuf.Type | undefined

/** Serializes a model; fields are written in the order of their numbers, so equal messages give equal bytes. */
export function encodeModel(message: ModelMessage): Uint8Array {
  modelType ??= loadModelType()
  return modelType.encode(message as unknown as Record<string, unknown>).finish()
}

/** Read when a graph is encoded: whoever only names networks does without. */
function loadModelType(): protobuf.Type {
  const { loadSync }: typeof protobuf = createRequire(import.meta.url)('protobufjs')
  return loadSync(fileURLToPath(new URL('onnx.proto', import.meta.url))).lookupType('onnx.ModelProto')
}
