import type { GreyImage } from '../lib/images/image.ts'
import type { Region } from './safety.ts'
import { coveredInOrder, type Edges } from './union.ts'

/** From this level on a pixel is subject. */
export const subjectFromLevel = 128

/** Pixels that rounding alone puts an edge beyond don't count. */
const roundingPx = 1e-6

/** How a box and the subject lie to each other. */
export interface Overlap {
  /** Share of the subject that is inside the box, 0 … 1; 0 where there is no subject. */
  readonly coverage: number
  /** Share of the box that is subject, 0 … 1. */
  readonly filling: number
}

/** Where a mask's subject is, summed up once, so that a box takes four look-ups however large the picture is. */
export class SubjectArea {
  readonly #widthPx: number
  readonly #heightPx: number
  /** [height + 1, width + 1]: pixels of the subject above and to the left. */
  readonly #sums: Uint32Array

  constructor({ widthPx, heightPx, pixels }: GreyImage) {
    this.#widthPx = widthPx
    this.#heightPx = heightPx
    const pitch = widthPx + 1
    this.#sums = new Uint32Array(pitch * (heightPx + 1))
    for (let y = 0; y < heightPx; y++) {
      let line = 0
      for (let x = 0; x < widthPx; x++) {
        if (pixels[y * widthPx + x]! >= subjectFromLevel) line++
        this.#sums[(y + 1) * pitch + x + 1] = this.#sums[y * pitch + x + 1]! + line
      }
    }
  }

  overlap(region: Region): Overlap {
    const edges = this.#edges(region)
    const inside = this.#inside(edges)
    const boxPx = Math.max(1, (edges.right - edges.left) * (edges.bottom - edges.top))
    return { coverage: this.#share(inside), filling: inside / boxPx }
  }

  /** Share of the subject inside the first box, inside the first two or either of them, … */
  coverageInOrder(regions: readonly Region[]): number[] {
    const boxes = regions.map((region) => this.#edges(region))
    return coveredInOrder(boxes, (part) => this.#inside(part)).map((inside) => this.#share(inside))
  }

  #share(inside: number): number {
    const all = this.#sums.at(-1)!
    return all === 0 ? 0 : inside / all
  }

  /** In whole pixels, outwards. */
  #edges({ left, top, width, height }: Region): Edges {
    const within = (value: number, most: number) => Math.min(most, Math.max(0, value))
    return {
      left: within(Math.floor(left * this.#widthPx + roundingPx), this.#widthPx),
      top: within(Math.floor(top * this.#heightPx + roundingPx), this.#heightPx),
      right: within(Math.ceil((left + width) * this.#widthPx - roundingPx), this.#widthPx),
      bottom: within(Math.ceil((top + height) * this.#heightPx - roundingPx), this.#heightPx),
    }
  }

  #inside({ left, top, right, bottom }: Edges): number {
    const sum = (x: number, y: number) => this.#sums[y * (this.#widthPx + 1) + x]!
    return sum(right, bottom) - sum(left, bottom) - sum(right, top) + sum(left, top)
  }
}
