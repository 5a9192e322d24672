import type { PreviewProtocol } from './protocol.ts'

/** A picture in text with 24-bit colours: two pixels a character, the upper half block before its background. */
export const halfBlocks: PreviewProtocol = {
  erase: '',
  async draw({ widthPx, heightPx, pixels }, { columns, rows }) {
    const colour = (x: number, y: number) => {
      const place = (Math.floor((y * heightPx) / (2 * rows)) * widthPx + Math.floor((x * widthPx) / columns)) * 3
      return `${pixels[place]};${pixels[place + 1]};${pixels[place + 2]}`
    }
    const lines = Array.from({ length: rows }, (_, row) => {
      const cells = Array.from(
        { length: columns },
        (_, x) => `\x1b[38;2;${colour(x, 2 * row)};48;2;${colour(x, 2 * row + 1)}m▀`,
      )
      return `${cells.join('')}\x1b[0m\n`
    })
    return { bytes: lines.join(''), rows }
  },
}
