import { toNormalizedPlanes } from '../../lib/images/geometry.ts'
import type { RgbImage } from '../../lib/images/image.ts'
import { resizeBicubic } from '../../lib/images/resize.ts'
import { publishedConfig } from '../../lib/nn/published-config.ts'
import { NetworkError } from '../../lib/runtime/errors.ts'
import type { NetworkPool } from '../../lib/runtime/pool.ts'
import type { Recipe } from '../../lib/runtime/recipe.ts'
import { floatTensor, type HostTensor } from '../../lib/runtime/tensor.ts'
import type { Region } from '../safety.ts'
import type { PersonBox, PersonDetector } from './eyes.ts'

export interface DetectorConfig {
  /** Side of the square that the network takes, in pixels. */
  readonly imageSize: number
  /** Classes that it tells apart. */
  readonly classes: number
  /** Those that are persons; in COCO's 80 it is class 0. */
  readonly personClasses: readonly number[]
}

/** More people than these in one picture are not told apart. */
const maxBoxes = 64

/**
 * Reads `image_size` (640), `num_labels` (80) and `person_labels` ([0]) of a detector's config. Throws a RangeError that
 * names the field.
 */
export function readDetectorConfig(published: unknown, source: string): DetectorConfig {
  const config = publishedConfig(published, source)
  const classes = config.size('num_labels', 80)
  const given =
    typeof published === 'object' && published !== null && 'person_labels' in published ? published.person_labels : [0]
  const isClass = (value: unknown): value is number =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < classes
  if (!Array.isArray(given) || given.length === 0 || !given.every(isClass)) {
    const got = JSON.stringify(given)?.slice(0, 100)
    throw new RangeError(
      `${source}: person_labels is ${got}, allowed is a list of whole numbers from 0 to ${classes - 1}`,
    )
  }
  return { imageSize: config.size('image_size', 640), classes, personClasses: given }
}

/**
 * A detector by the contract of RT-DETR and D-FINE as transformers exports them: `pixel_values` [1,3,S,S] of 0 … 1, the
 * picture stretched to the square → `logits` [1,Q,classes] before the sigmoid, `pred_boxes` [1,Q,4] as centre, width and
 * height in shares. Throws where the answer is not so or not finite.
 */
export function createPersonDetector(pool: NetworkPool, recipe: Recipe, config: DetectorConfig): PersonDetector {
  return {
    async detect(picture, minScore, signal) {
      const pixels = await detectorPixels(picture, config.imageSize)
      signal?.throwIfAborted()
      const results = await pool.with(recipe, (network) => network.run({ pixel_values: pixels }))
      const logits = output(recipe, results, 'logits', config.classes)
      const boxes = output(recipe, results, 'pred_boxes', 4)
      const queries = logits.length / config.classes
      if (boxes.length !== queries * 4) {
        throw new NetworkError(recipe.name, `${boxes.length / 4} boxes for ${queries} queries`)
      }
      const people: PersonBox[] = []
      for (let query = 0; query < queries; query++) {
        const score = Math.max(...config.personClasses.map((label) => sigmoid(logits[query * config.classes + label]!)))
        const [x, y, width, height] = boxes.subarray(query * 4, query * 4 + 4)
        if (score >= minScore) people.push({ score, region: clamped(x!, y!, width!, height!) })
      }
      return people.sort((a, b) => b.score - a.score).slice(0, maxBoxes)
    },
  }
}

/** As transformers' RTDetrImageProcessor: stretched to the square, 0 … 1 without a mean → [1,3,S,S]. */
async function detectorPixels(picture: RgbImage, sizePx: number) {
  const square = await resizeBicubic(picture, sizePx, sizePx)
  return floatTensor([1, 3, sizePx, sizePx], toNormalizedPlanes(square, [0, 0, 0], [1, 1, 1]))
}

function output(
  recipe: Recipe,
  results: Readonly<Record<string, HostTensor>>,
  name: string,
  last: number,
): Float32Array {
  const tensor = results[name]
  if (tensor?.dtype !== 'float32') throw new NetworkError(recipe.name, `no output '${name}'`)
  const { shape, data } = tensor
  if (shape.length !== 3 || shape[0] !== 1 || shape[2] !== last) {
    throw new NetworkError(recipe.name, `${name} is [${shape.join(', ')}], must be [1, queries, ${last}]`)
  }
  if (!data.every(Number.isFinite)) throw new NetworkError(recipe.name, `${name} holds numbers that are not finite`)
  return data
}

/** A box inside the picture. */
function clamped(x: number, y: number, width: number, height: number): Region {
  const inside = (value: number) => Math.min(1, Math.max(0, value))
  const [left, top] = [inside(x - width / 2), inside(y - height / 2)]
  return { left, top, width: inside(x + width / 2) - left, height: inside(y + height / 2) - top }
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x))
}
