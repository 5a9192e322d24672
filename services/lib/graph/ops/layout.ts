import { addDims, type Dim, equalDims, floorDivideDim, multiplyDims } from '../dimension.ts'
import { elementCount, equalShapes, normalizeAxis, parseShape, showShape, sumOfDims } from '../shape.ts'
import { constant, emit, emitOne, graphError, type Value } from '../value.ts'

/**
 * Reshape (opset 21). An open axis must stand at the same place in x's own shape, or somewhere in the shape of one of
 * `sizes`, whose size it takes when the graph runs; one axis at most may do neither. A free view: nothing is copied.
 */
export function reshape(x: Value, shape: readonly (string | number | Dim)[], sizes: readonly Value[] = []): Value {
  const target = parseShape(shape)
  if (!equalDims(elementCount(target), elementCount(x.shape))) {
    throw graphError(reshape, 'Reshape', [x], `${showShape(target)} holds another number of elements`)
  }
  const pieces = target.map((dim, axis): number | Value => {
    if (typeof dim === 'number') return dim
    const same = x.shape[axis]
    return same !== undefined && equalDims(dim, same) ? 0 : (sizeFrom(sizes, dim) ?? -1)
  })
  if (pieces.filter((piece) => piece === -1).length > 1) {
    const problem = `${showShape(target)} has more than one open axis: name values that have their sizes, or use reshapeLike`
    throw graphError(reshape, 'Reshape', [x], problem)
  }
  return emitOne({ name: 'Reshape' }, [x, joinSizes(pieces)], {}, x.dtype, target)
}

/** The size (int64 [1]) of the first axis of `values` that is as long as `dim`; undefined where there is none. */
function sizeFrom(values: readonly Value[], dim: Dim): Value | undefined {
  for (const value of values) {
    const axis = value.shape.findIndex((size) => equalDims(size, dim))
    if (axis >= 0)
      return emitOne({ name: 'Shape' }, [value], { start: { int: axis }, end: { int: axis + 1 } }, 'int64', [1])
  }
  return undefined
}

/** One int64 vector out of numbers and int64 [1] values: a constant where all are numbers. */
function joinSizes(pieces: readonly (number | Value)[]): Value {
  const numbers = pieces.filter((piece) => typeof piece === 'number')
  if (numbers.length === pieces.length) return constant('int64', [pieces.length], numbers)
  const vectors = pieces.map((piece) => (typeof piece === 'number' ? constant('int64', [1], [piece]) : piece))
  return emitOne({ name: 'Concat' }, vectors, { axis: { int: 0 } }, 'int64', [pieces.length])
}

/** Reshape (opset 21) to the shape that `like` has when the graph runs. */
export function reshapeLike(x: Value, like: Value): Value {
  if (!equalDims(elementCount(like.shape), elementCount(x.shape))) {
    throw graphError(reshapeLike, 'Reshape', [x, like], 'expected the same number of elements')
  }
  const size = emitOne({ name: 'Shape' }, [like], {}, 'int64', [like.shape.length])
  return emitOne({ name: 'Reshape' }, [x, size], {}, x.dtype, like.shape)
}

/** Transpose (opset 21): axis i of the result is axis `order[i]` of x. */
export function transpose(x: Value, order: readonly number[]): Value {
  if ([...order].sort((a, b) => a - b).some((axis, index) => axis !== index) || order.length !== x.shape.length) {
    throw graphError(transpose, 'Transpose', [x], `[${order.join(', ')}] is no order of ${x.shape.length} axes`)
  }
  const shape = order.map((axis) => x.shape[axis]!)
  return emitOne({ name: 'Transpose' }, [x], { perm: { ints: order } }, x.dtype, shape)
}

/** Concat (opset 13) along one axis; all other axes are equal. */
export function concat(values: readonly Value[], axis: number): Value {
  const first = values[0]
  const at = first && normalizeAxis(axis, first.shape.length)
  const without = (value: Value) => value.shape.filter((_, index) => index !== at)
  if (
    !first ||
    at === undefined ||
    values.some((value) => value.dtype !== first.dtype || !equalShapes(without(value), without(first)))
  ) {
    throw graphError(concat, 'Concat', values, `expected one dtype and equal sizes on all axes but ${axis}`)
  }
  const shape = first.shape.with(at, sumOfDims(values.map((value) => value.shape[at]!)))
  return emitOne({ name: 'Concat' }, values, { axis: { int: at } }, first.dtype, shape)
}

/** Split (opset 18) into pieces of the given sizes, which add up to the axis. */
export function split(x: Value, sizes: readonly number[], axis: number): Value[] {
  const at = normalizeAxis(axis, x.shape.length)
  if (at === undefined || !equalDims(x.shape[at]!, sumOfDims(sizes))) {
    throw graphError(split, 'Split', [x], `[${sizes.join(', ')}] does not add up to axis ${axis}`)
  }
  const outputs = sizes.map((size) => ({ dtype: x.dtype, shape: x.shape.with(at, size) }))
  return emit({ name: 'Split' }, [x, constant('int64', [sizes.length], sizes)], { axis: { int: at } }, outputs)
}

/**
 * Split (opset 18) into two halves along an axis that two divides, which may be open.
 */
export function halve(x: Value, axis: number): [Value, Value] {
  const at = normalizeAxis(axis, x.shape.length)
  const half = at === undefined ? undefined : floorDivideDim(x.shape[at]!, 2)
  if (at === undefined || half === undefined || !equalDims(addDims(half, half), x.shape[at]!)) {
    throw graphError(halve, 'Split', [x], `expected an even axis ${axis}`)
  }
  const shape = x.shape.with(at, half)
  const attributes = { axis: { int: at }, num_outputs: { int: 2 } }
  const [first, second] = emit({ name: 'Split' }, [x], attributes, [
    { dtype: x.dtype, shape },
    { dtype: x.dtype, shape },
  ])
  return [first!, second!]
}

/**
 * Slice (opset 13) of one axis: from `start` to before `end`, or to the axis's end where none is given. A negative
 * number counts from the end.
 */
export function slice(x: Value, axis: number, start: number, end?: number): Value {
  const at = normalizeAxis(axis, x.shape.length)
  const size = at === undefined ? undefined : x.shape[at]
  if (at === undefined || size === undefined) throw graphError(slice, 'Slice', [x], `no axis ${axis}`)
  const from = start < 0 ? addDims(size, start) : start
  const to = end === undefined ? size : end < 0 ? addDims(size, end) : end
  const length = addDims(to, multiplyDims(from, -1))
  const inside = typeof length !== 'number' || length > 0
  if (!inside || (typeof size === 'number' && typeof to === 'number' && to > size)) {
    throw graphError(slice, 'Slice', [x], `${start}:${end ?? ''} lies outside axis ${axis}`)
  }
  return sliceNode(x, at, start, end ?? Number.MAX_SAFE_INTEGER, 1, length)
}

/** Slice (opset 13): every `step`-th element of an axis that `step` divides, from the first: torch's nearest shrink. */
export function everyNth(x: Value, axis: number, step: number): Value {
  const at = normalizeAxis(axis, x.shape.length)
  const length = at === undefined ? undefined : floorDivideDim(x.shape[at]!, step)
  if (at === undefined || length === undefined || !equalDims(multiplyDims(length, step), x.shape[at]!)) {
    throw graphError(everyNth, 'Slice', [x], `${step} does not divide axis ${axis}`)
  }
  return sliceNode(x, at, 0, Number.MAX_SAFE_INTEGER, step, length)
}

/** Gather (opset 13): rows `indices` (int64, any shape) of an axis; indices' shape takes the axis's place. */
export function gather(x: Value, indices: Value, axis = 0): Value {
  const at = normalizeAxis(axis, x.shape.length)
  if (at === undefined || indices.dtype !== 'int64') {
    throw graphError(gather, 'Gather', [x, indices], `expected int64 indices and axis ${axis} to exist`)
  }
  const shape = [...x.shape.slice(0, at), ...indices.shape, ...x.shape.slice(at + 1)]
  return emitOne({ name: 'Gather' }, [x, indices], { axis: { int: at } }, x.dtype, shape)
}

/** Unsqueeze (opset 21): axes of size 1 at the given places of the result. */
export function unsqueeze(x: Value, axes: readonly number[]): Value {
  const rank = x.shape.length + axes.length
  const places = axes.map((axis) => normalizeAxis(axis, rank))
  if (places.includes(undefined))
    throw graphError(unsqueeze, 'Unsqueeze', [x], `no axes [${axes.join(', ')}] of ${rank}`)
  const rest = [...x.shape]
  const shape = Array.from({ length: rank }, (_, axis) => (places.includes(axis) ? 1 : rest.shift()!))
  return emitOne({ name: 'Unsqueeze' }, [x, constant('int64', [axes.length], axes)], {}, x.dtype, shape)
}

/** Expand (opset 13) of x to the shape `like` has when the graph runs; x broadcasts to it. */
export function expandLike(x: Value, like: Value): Value {
  const size = emitOne({ name: 'Shape' }, [like], {}, 'int64', [like.shape.length])
  return emitOne({ name: 'Expand' }, [x, size], {}, x.dtype, like.shape)
}

/** Resize (opset 19): x [B, C, H, W] repeated `factor` times along H and W: torch's nearest growth. */
export function upsampleNearest(x: Value, factor: number): Value {
  const [batch, channels, height, width] = x.shape
  if (x.shape.length !== 4 || !Number.isInteger(factor) || factor < 1) {
    throw graphError(upsampleNearest, 'Resize', [x], `expected [B, C, H, W] and a whole factor, got ${factor}`)
  }
  if (factor === 1) return x
  const attributes = {
    mode: { string: 'nearest' },
    coordinate_transformation_mode: { string: 'asymmetric' },
    nearest_mode: { string: 'floor' },
  }
  const shape = [batch!, channels!, multiplyDims(height!, factor), multiplyDims(width!, factor)]
  return emitOne(
    { name: 'Resize' },
    [x, null, constant('float32', [4], [1, 1, factor, factor])],
    attributes,
    x.dtype,
    shape,
  )
}

/**
 * DepthToSpace (opset 13, DCR): x [B, side² · C, H, W] → [B, C, side · H, side · W]; the channels' outermost factor says
 * which place in a square a value takes, row by row.
 */
export function depthToSpace(x: Value, side: number): Value {
  const [batch, channels, height, width] = x.shape
  if (x.shape.length !== 4 || typeof channels !== 'number' || channels % side ** 2 !== 0) {
    throw graphError(depthToSpace, 'DepthToSpace', [x], `expected [B, C, H, W] with channels that ${side}² divides`)
  }
  const shape = [batch!, channels / side ** 2, multiplyDims(height!, side), multiplyDims(width!, side)]
  const attributes = { blocksize: { int: side }, mode: { string: 'DCR' } }
  return emitOne({ name: 'DepthToSpace' }, [x], attributes, x.dtype, shape)
}

function sliceNode(x: Value, axis: number, start: number, end: number, step: number, length: Dim): Value {
  const vector = (number: number) => constant('int64', [1], [number])
  const inputs = [x, vector(start), vector(end), vector(axis), vector(step)]
  return emitOne({ name: 'Slice' }, inputs, {}, x.dtype, x.shape.with(axis, length))
}

/** 0, 1, …, n − 1 (int64) for the size n that axis `axis` of `like` has when the graph runs: Shape, then Range (opset 11). */
export function range(like: Value, axis: number): Value {
  const at = normalizeAxis(axis, like.shape.length)
  if (at === undefined) throw graphError(range, 'Range', [like], `no axis ${axis}`)
  const scalar = (number: number) => constant('int64', [], [number])
  const sizes = emitOne({ name: 'Shape' }, [like], {}, 'int64', [like.shape.length])
  const size = emitOne({ name: 'Gather' }, [sizes, scalar(at)], { axis: { int: 0 } }, 'int64', [])
  return emitOne({ name: 'Range' }, [scalar(0), size, scalar(1)], {}, 'int64', [like.shape[at]!])
}
