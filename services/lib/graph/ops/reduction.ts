import type { Dim } from '../dimension.ts'
import { normalizeAxis } from '../shape.ts'
import { constant, emitOne, graphError, type Value } from '../value.ts'

/** ReduceMean (opset 18) over the given axes, which stay with size 1. */
export function reduceMean(x: Value, axes: readonly number[]): Value {
  return reduce(reduceMean, 'ReduceMean', x, axes)
}

/** ReduceSum (opset 13) over the given axes, which stay with size 1. */
export function reduceSum(x: Value, axes: readonly number[]): Value {
  return reduce(reduceSum, 'ReduceSum', x, axes)
}

/** ReduceMin (opset 20) over the given axes, which stay with size 1. */
export function reduceMin(x: Value, axes: readonly number[]): Value {
  return reduce(reduceMin, 'ReduceMin', x, axes)
}

/** ReduceMax (opset 20) over the given axes, which stay with size 1. */
export function reduceMax(x: Value, axes: readonly number[]): Value {
  return reduce(reduceMax, 'ReduceMax', x, axes)
}

function reduce(opFunction: unknown, op: string, x: Value, axes: readonly number[]): Value {
  const places = axes.map((axis) => normalizeAxis(axis, x.shape.length))
  if (places.includes(undefined)) throw graphError(opFunction, op, [x], `no axes [${axes.join(', ')}]`)
  const shape: Dim[] = x.shape.map((dim, axis) => (places.includes(axis) ? 1 : dim))
  return emitOne({ name: op }, [x, constant('int64', [axes.length], axes)], { keepdims: { int: 1 } }, x.dtype, shape)
}
