import { add, cast, divide, greater, multiply, subtract, where } from '../lib/graph/ops/elementwise.ts'
import { everyNth, reshape, reshapeLike, slice, upsampleNearest } from '../lib/graph/ops/layout.ts'
import { matmul } from '../lib/graph/ops/matrix.ts'
import { reduceMax, reduceMean, reduceMin } from '../lib/graph/ops/reduction.ts'
import { constant, type Value } from '../lib/graph/value.ts'

/** Values up to this share of the largest are background (method: mask of a step). */
const backgroundThreshold = 0.2

/**
 * The mask of the step before at every level of the UNet: [n, 1, h, w] → [n, 1, h/2^l, w/2^l], by nearest neighbour
 * as torch takes it: the top left of every square.
 */
export function maskPyramid(mask: Value, levels: number): Value[] {
  return Array.from({ length: levels }, (_, level) =>
    level === 0 ? mask : everyNth(everyNth(mask, 2, 2 ** level), 3, 2 ** level),
  )
}

/**
 * How strongly each pixel of one layer attends to the subject's tokens: text attention probabilities [2, H, n·T, S]
 * of both guidance halves, the subject's positions marked in `tokens` [S] by ones → the conditional half's map,
 * averaged over heads, summed over those tokens, min–max normalised by sample, in the shape of `like` [n, 1, h, w].
 */
export function subjectMap(probabilities: Value, tokens: Value, like: Value): Value {
  const marked = matmul(probabilities, reshape(tokens, [tokens.shape[0]!, 1]))
  const conditional = reduceMean(slice(marked, 0, 1), [1])
  return normalize(cast(reshapeLike(conditional, like), 'float32'))
}

/**
 * The mask of a step from the maps of all layers, each [n, 1, h/2^l, w/2^l] in float32 with its level l → [n, 1, h, w]:
 * brought to one size, averaged, normalised, the background cut off, normalised again.
 */
export function combineMaps(maps: readonly { readonly level: number; readonly map: Value }[]): Value {
  const byLevel = Map.groupBy(maps, ({ level }) => level)
  // Growing is linear: one sum a level is grown, not every map.
  const grown = [...byLevel].map(([level, entries]) => upsampleNearest(sum(entries.map(({ map }) => map)), 2 ** level))
  const mean = multiply(sum(grown), scalar(1 / maps.length))
  const normalized = normalize(mean)
  return normalize(where(greater(normalized, scalar(backgroundThreshold)), normalized, scalar(0)))
}

/** (x − min) / (max − min) within each sample [n, 1, h, w]; zero everywhere where all pixels are equal. */
function normalize(x: Value): Value {
  const lowest = reduceMin(x, [1, 2, 3])
  const range = subtract(reduceMax(x, [1, 2, 3]), lowest)
  return divide(subtract(x, lowest), where(greater(range, scalar(0)), range, scalar(1)))
}

function sum(values: readonly Value[]): Value {
  return values.reduce((total, value) => add(total, value))
}

function scalar(number: number): Value {
  return constant('float32', [1], [number])
}
