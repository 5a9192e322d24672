import type { RgbImage } from '../../services/lib/images/image.ts'

/** A way to show a picture in a terminal. */
export interface PreviewProtocol {
  /** The picture, `cells.columns` wide. */
  draw(image: RgbImage, cells: Cells): Promise<DrawnPreview>
  /** Takes away what stays when the cells below it are erased; '' where nothing does. */
  readonly erase: string
}

/** Sides in character cells. */
export interface Cells {
  readonly columns: number
  readonly rows: number
}

export interface DrawnPreview {
  /** To be written with the cursor at the start of a line; leaves it at the start of the line below the picture. */
  readonly bytes: string
  readonly rows: number
}

/** Cells are about twice as high as wide. */
const cellAspect = 2

const largestColumns = 32
const fewestRows = 4

/**
 * The cells of a picture that fits beside one more line into a terminal of `screen`; null where too little is left to
 * see anything.
 */
export function cellsOf({ widthPx, heightPx }: RgbImage, screen: Cells): Cells | null {
  const aspect = heightPx / widthPx / cellAspect
  // The last line is the cursor's.
  const mostRows = screen.rows - 2
  const columns = Math.min(largestColumns, screen.columns - 2, Math.floor(mostRows / aspect))
  const rows = Math.round(columns * aspect)
  return rows < fewestRows ? null : { columns, rows }
}

/**
 * Room for a picture that `image` draws from the cursor on: the lines are made first, so that nothing scrolls while it
 * is drawn, wherever the terminal leaves the cursor after it.
 */
export function drawInRoom(image: string, rows: number): DrawnPreview {
  return { bytes: `${'\n'.repeat(rows)}\x1b[${rows}A\x1b7${image}\x1b8\x1b[${rows}E`, rows }
}
