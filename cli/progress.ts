import type { RgbImage } from '../services/lib/images/image.ts'

/** Shows how far something is, on stderr: a line that is rewritten on a terminal, a line now and then elsewhere. */
export interface Progress {
  /** `share` from 0 to 1, or null where nobody can say. */
  update(label: string, share: number | null): void
  /** A small picture above the line, in terminals with 24-bit colour. */
  preview(image: RgbImage): void
  /** A line that stays. */
  note(text: string): void
  /** Takes the line away. */
  done(): void
}

const barWidth = 28
const quietMs = 5000

export function createProgress(
  stream: NodeJS.WriteStream,
  options: { readonly quiet: boolean; readonly previews: boolean },
): Progress {
  if (options.quiet) return { update() {}, preview() {}, note() {}, done() {} }
  const terminal = stream.isTTY === true
  const colours = options.previews && terminal && /truecolor|24bit/i.test(process.env.COLORTERM ?? '')
  const clock = createClock()
  let drawnLines = 0
  let picture: string[] = []
  let lastLabel = ''
  let lastLineAt = 0

  const clear = () => {
    if (drawnLines > 0) stream.write(`\x1b[${drawnLines}F\x1b[0J`)
    drawnLines = 0
  }
  const draw = (line: string) => {
    clear()
    const columns = stream.columns || 80
    for (const row of [...picture, line.slice(0, columns - 1)]) stream.write(`${row}\n`)
    drawnLines = picture.length + 1
  }

  return {
    update(label, share) {
      const left = clock(label, share)
      const percent = share === null ? '' : ` ${Math.floor(100 * share)} %`
      if (terminal) {
        const filled = Math.round(barWidth * (share ?? 0))
        draw(`${'█'.repeat(filled)}${'░'.repeat(barWidth - filled)}${percent}  ${label}${left}`)
      } else if (label.split(' ')[0] !== lastLabel || performance.now() - lastLineAt > quietMs) {
        stream.write(`${label}${percent}${left}\n`)
        lastLabel = label.split(' ')[0]!
        lastLineAt = performance.now()
      }
    },
    preview(image) {
      if (colours) picture = halfBlocks(image, Math.min(32, (stream.columns || 80) - 2))
    },
    note(text) {
      clear()
      stream.write(`${text}\n`)
    },
    done() {
      clear()
      picture = []
    },
  }
}

/** Time left by the pace since the label's first word last changed, as text. */
function createClock(): (label: string, share: number | null) => string {
  let phase = ''
  let start = { atMs: 0, share: 0 }
  return (label, share) => {
    const now = performance.now()
    const word = label.split(' ')[0]!
    if (word !== phase || share === null || share < start.share) {
      phase = word
      start = { atMs: now, share: share ?? 0 }
    }
    if (share === null || share <= start.share) return ''
    const seconds = (((now - start.atMs) / (share - start.share)) * (1 - share)) / 1000
    if (seconds < 1) return ''
    return seconds < 90 ? `, ${Math.round(seconds)} s left` : `, ${Math.round(seconds / 60)} min left`
  }
}

/** A picture in text: two pixels a character, the upper half block before its background. */
function halfBlocks({ widthPx, heightPx, pixels }: RgbImage, columns: number): string[] {
  const rows = Math.round((columns * heightPx) / widthPx / 2)
  const colour = (x: number, y: number) => {
    const place = (Math.floor((y * heightPx) / (2 * rows)) * widthPx + Math.floor((x * widthPx) / columns)) * 3
    return `${pixels[place]};${pixels[place + 1]};${pixels[place + 2]}`
  }
  return Array.from({ length: rows }, (_, row) => {
    const cells = Array.from(
      { length: columns },
      (_, x) => `\x1b[38;2;${colour(x, 2 * row)};48;2;${colour(x, 2 * row + 1)}m▀`,
    )
    return `${cells.join('')}\x1b[0m`
  })
}
