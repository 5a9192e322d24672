/** A box by its edges; what is on the left and the upper one is inside. */
export interface Edges {
  readonly left: number
  readonly top: number
  readonly right: number
  readonly bottom: number
}

/**
 * How much is covered by the first box, by the first two, … by all of them: what several cover counts once. `measure` says
 * how much is in a box. n boxes take n³ comparisons.
 */
export function coveredInOrder(boxes: readonly Edges[], measure: (part: Edges) => number): number[] {
  const lines = (values: number[]) => [...new Set(values)].sort((a, b) => a - b)
  const columns = lines(boxes.flatMap(({ left, right }) => [left, right]))
  const rows = lines(boxes.flatMap(({ top, bottom }) => [top, bottom]))
  const gains = boxes.map(() => 0)
  for (let row = 1; row < rows.length; row++) {
    for (let column = 1; column < columns.length; column++) {
      const part = { left: columns[column - 1]!, right: columns[column]!, top: rows[row - 1]!, bottom: rows[row]! }
      const first = boxes.findIndex((box) => holds(box, part))
      if (first >= 0) gains[first]! += measure(part)
    }
  }
  let covered = 0
  return gains.map((gain) => (covered += gain))
}

function holds(box: Edges, { left, top, right, bottom }: Edges): boolean {
  return box.left <= left && box.right >= right && box.top <= top && box.bottom >= bottom
}
