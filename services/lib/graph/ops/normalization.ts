import { equalDims } from '../dimension.ts'
import { emitOne, graphError, type Value } from '../value.ts'

/** LayerNormalization (opset 17) over the last axis: scale and bias [C]. */
export function layerNormalization(x: Value, scale: Value, bias: Value, epsilon: number): Value {
  checkChannels(layerNormalization, 'LayerNormalization', x, -1, scale, bias)
  const attributes = { axis: { int: -1 }, epsilon: { float: epsilon } }
  return emitOne({ name: 'LayerNormalization' }, [x, scale, bias], attributes, x.dtype, x.shape)
}

/** SimplifiedLayerNormalization (onnxruntime's, ai.onnx opset 1): x / √(mean x² + ε) · scale over the last axis. */
export function rmsNormalization(x: Value, scale: Value, epsilon: number): Value {
  checkChannels(rmsNormalization, 'SimplifiedLayerNormalization', x, -1, scale)
  const attributes = { axis: { int: -1 }, epsilon: { float: epsilon }, stash_type: { int: 1 } }
  return emitOne({ name: 'SimplifiedLayerNormalization' }, [x, scale], attributes, x.dtype, x.shape)
}

/** InstanceNormalization (opset 6): x [B, C, ...] to zero mean and unit variance by sample and channel, then scale, bias [C]. */
export function instanceNormalization(x: Value, scale: Value, bias: Value, epsilon: number): Value {
  checkChannels(instanceNormalization, 'InstanceNormalization', x, 1, scale, bias)
  return emitOne({ name: 'InstanceNormalization' }, [x, scale, bias], { epsilon: { float: epsilon } }, x.dtype, x.shape)
}

function checkChannels(opFunction: unknown, op: string, x: Value, axis: number, ...vectors: Value[]): void {
  const channels = x.shape.at(axis)
  for (const vector of vectors) {
    if (channels === undefined || vector.shape.length !== 1 || !equalDims(vector.shape[0]!, channels)) {
      throw graphError(opFunction, op, [x, ...vectors], `expected vectors as long as axis ${axis}`)
    }
  }
}
