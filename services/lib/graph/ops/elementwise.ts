import { type DType, onnxElementType } from '../dtype.ts'
import { broadcastShapes } from '../shape.ts'
import { emitOne, graphError, type Value } from '../value.ts'

// Specs: https://onnx.ai/onnx/operators/ (opset 21) and, for com.microsoft,
// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md

/** Add (opset 14): a + b, broadcast by numpy's rule. */
export function add(a: Value, b: Value): Value {
  return binary(add, 'Add', a, b)
}

/** Sub (opset 14): a − b, broadcast. */
export function subtract(a: Value, b: Value): Value {
  return binary(subtract, 'Sub', a, b)
}

/** Mul (opset 14): a · b, broadcast. */
export function multiply(a: Value, b: Value): Value {
  return binary(multiply, 'Mul', a, b)
}

/** Div (opset 14): a / b, broadcast. */
export function divide(a: Value, b: Value): Value {
  return binary(divide, 'Div', a, b)
}

/** Greater (opset 13): a > b, broadcast → bool. */
export function greater(a: Value, b: Value): Value {
  return binary(greater, 'Greater', a, b, 'bool')
}

/** Where (opset 16): a where the condition holds, else b; all three broadcast. */
export function where(condition: Value, a: Value, b: Value): Value {
  const both = broadcastShapes(a.shape, b.shape)
  const shape = both && broadcastShapes(condition.shape, both)
  if (condition.dtype !== 'bool' || a.dtype !== b.dtype || !shape) {
    throw graphError(where, 'Where', [condition, a, b], 'expected a bool condition and two of one dtype that broadcast')
  }
  return emitOne({ name: 'Where' }, [condition, a, b], {}, a.dtype, shape)
}

/** Sigmoid (opset 13). */
export function sigmoid(x: Value): Value {
  return emitOne({ name: 'Sigmoid' }, [x], {}, x.dtype, x.shape)
}

/** Cos (opset 7). */
export function cos(x: Value): Value {
  return emitOne({ name: 'Cos' }, [x], {}, x.dtype, x.shape)
}

/** Sin (opset 7). */
export function sin(x: Value): Value {
  return emitOne({ name: 'Sin' }, [x], {}, x.dtype, x.shape)
}

/** Exp (opset 13). */
export function exp(x: Value): Value {
  return emitOne({ name: 'Exp' }, [x], {}, x.dtype, x.shape)
}

/** Sqrt (opset 13). */
export function sqrt(x: Value): Value {
  return emitOne({ name: 'Sqrt' }, [x], {}, x.dtype, x.shape)
}

/** x · sigmoid(x): com.microsoft QuickGelu with α = 1, one pass over memory where Sigmoid and Mul make two. */
export function silu(x: Value): Value {
  return emitOne({ name: 'QuickGelu', domain: 'com.microsoft' }, [x], { alpha: { float: 1 } }, x.dtype, x.shape)
}

/** x · sigmoid(1.702 x): com.microsoft QuickGelu, the activation of OpenAI's CLIP. */
export function quickGelu(x: Value): Value {
  return emitOne({ name: 'QuickGelu', domain: 'com.microsoft' }, [x], { alpha: { float: 1.702 } }, x.dtype, x.shape)
}

/** Gelu (opset 20), exact (erf). */
export function gelu(x: Value): Value {
  return emitOne({ name: 'Gelu' }, [x], { approximate: { string: 'none' } }, x.dtype, x.shape)
}

/** com.microsoft BiasGelu: exact gelu(x + bias) for a bias over the last axis, in one pass. */
export function biasGelu(x: Value, bias: Value): Value {
  if (bias.shape.length !== 1 || bias.shape[0] !== x.shape.at(-1)) {
    throw graphError(biasGelu, 'BiasGelu', [x, bias], 'expected a bias as long as the last axis')
  }
  return emitOne({ name: 'BiasGelu', domain: 'com.microsoft' }, [x, bias], {}, x.dtype, x.shape)
}

/** Softmax (opset 13) over the last axis. */
export function softmax(x: Value): Value {
  return emitOne({ name: 'Softmax' }, [x], { axis: { int: -1 } }, x.dtype, x.shape)
}

/** Cast (opset 21); the value itself where the dtype already is the wanted one. */
export function cast(x: Value, dtype: DType): Value {
  if (x.dtype === dtype) return x
  return emitOne({ name: 'Cast' }, [x], { to: { int: onnxElementType[dtype] } }, dtype, x.shape)
}

function binary(opFunction: unknown, op: string, a: Value, b: Value, result: DType = a.dtype): Value {
  const shape = broadcastShapes(a.shape, b.shape)
  if (a.dtype !== b.dtype) throw graphError(opFunction, op, [a, b], 'expected operands of one dtype')
  if (!shape) throw graphError(opFunction, op, [a, b], 'expected shapes that broadcast')
  return emitOne({ name: op }, [a, b], {}, result, shape)
}
