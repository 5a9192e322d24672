import { writeFileSync } from 'node:fs'
import { build } from '../../lib/graph/build.ts'
import { add, multiply, subtract } from '../../lib/graph/ops/elementwise.ts'
import { concat, reshape, slice } from '../../lib/graph/ops/layout.ts'
import { reduceMean } from '../../lib/graph/ops/reduction.ts'
import { constant, input, type Value } from '../../lib/graph/value.ts'
import { weightsRoot } from '../../lib/runtime/session.ts'

/** Parts of the picture that the hand-made detector looks at: centre x and y, width, height. */
const parts = [
  [0.25, 0.5, 0.5, 1],
  [0.75, 0.5, 0.5, 1],
] as const

/**
 * Writes an ONNX file by the detectors' contract that needs no training: in the left and right half it sees a person
 * (class 0) as far as it is red, and something else (class 1) as far as it is blue.
 */
export function writeRedDetector(file: string, sizePx = 64, answer: 'numbers' | 'nan' = 'numbers'): void {
  const pixels = input('pixel_values', 'float32', [1, 3, sizePx, sizePx])
  const halves = parts.map((_, index) => slice(pixels, 3, (index * sizePx) / 2, ((index + 1) * sizePx) / 2))
  const logits = concat(halves.map(classLogits), 1)
  const boxes = constant('float32', [1, parts.length, 4], parts.flat())
  // A box that depends on the picture, as every output of a real network does.
  const nothing = multiply(reshape(reduceMean(pixels, [1, 2, 3]), [1, 1, 1]), constant('float32', [1], [0]))
  const spoilt = answer === 'nan' ? multiply(logits, constant('float32', [1], [Number.NaN])) : logits
  const graph = build('red detector', [pixels], { logits: spoilt, pred_boxes: add(boxes, nothing) })
  writeFileSync(file, graph.encode(weightsRoot))
}

/** [1,3,S,S/2] → [1,1,2]: plus and minus 10 for full red and none, and for blue. */
function classLogits(half: Value): Value {
  const [red, green, blue] = [0, 1, 2].map((channel) =>
    reshape(reduceMean(slice(half, 1, channel, channel + 1), [1, 2, 3]), [1, 1, 1]),
  )
  const logit = (level: Value) => {
    const alone = subtract(level, green!)
    return add(multiply(alone, constant('float32', [1], [20])), constant('float32', [1], [-10]))
  }
  return concat([logit(red!), logit(blue!)], 2)
}
