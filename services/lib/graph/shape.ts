import { addDims, type Dim, equalDims, evaluateDim, parseDim, productOfDims, showDim } from './dimension.ts'

export type Shape = readonly Dim[]

/** Reads `['batch', 4, '8*height', '8*width']`. Throws a RangeError on a dimension that is no product. */
export function parseShape(dims: readonly (string | number | Dim)[]): Shape {
  return Object.freeze(dims.map((dim) => (typeof dim === 'object' ? dim : parseDim(dim))))
}

export function showShape(shape: Shape): string {
  return `[${shape.map(showDim).join(', ')}]`
}

export function equalShapes(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, axis) => equalDims(dim, b[axis]!))
}

/** The shape of an elementwise result by numpy's rule, or undefined where the two do not broadcast. */
export function broadcastShapes(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length)
  const result: Dim[] = []
  for (let axis = 0; axis < rank; axis++) {
    const dimA = a[axis - rank + a.length] ?? 1
    const dimB = b[axis - rank + b.length] ?? 1
    if (equalDims(dimA, dimB) || dimB === 1) result.push(dimA)
    else if (dimA === 1) result.push(dimB)
    else return undefined
  }
  return result
}

export function sumOfDims(dims: readonly Dim[]): Dim {
  return dims.reduce(addDims, 0)
}

export function elementCount(shape: Shape): Dim {
  return productOfDims(shape)
}

/** Sizes of every axis when every name has the given size. Throws a RangeError on a name without one. */
export function evaluateShape(shape: Shape, sizes: Readonly<Record<string, number>>): number[] {
  return shape.map((dim) => evaluateDim(dim, sizes))
}

/** A non-negative axis, or undefined where `axis` lies outside −rank … rank−1. */
export function normalizeAxis(axis: number, rank: number): number | undefined {
  const normalized = axis < 0 ? axis + rank : axis
  return Number.isInteger(normalized) && normalized >= 0 && normalized < rank ? normalized : undefined
}
