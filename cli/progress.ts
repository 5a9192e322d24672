import type { RgbImage } from '../services/lib/images/image.ts'
import { detectProtocol } from './preview/detect.ts'
import { cellsOf, type DrawnPreview } from './preview/protocol.ts'

/** Shows how far something is, on stderr: a line that is rewritten on a terminal, a line now and then elsewhere. */
export interface Progress {
  /** `share` from 0 to 1, or null where nobody can say. */
  update(label: string, share: number | null): void
  /** A small picture above the line, where the terminal can show one; drawn by the next update. */
  preview(image: RgbImage): Promise<void>
  /** Whether anybody sees the previews. */
  readonly showsPreviews: boolean
  /** A line that stays, also where progress is not wanted. */
  note(text: string): void
  /** Takes line and picture away. */
  done(): void
}

const barWidth = 28
const quietMs = 5000

export function createProgress(
  stream: NodeJS.WriteStream,
  options: { readonly quiet: boolean; readonly previews: boolean },
  env: NodeJS.ProcessEnv = process.env,
): Progress {
  if (options.quiet) {
    const note = (text: string) => void stream.write(`${text}\n`)
    return { update() {}, async preview() {}, showsPreviews: false, note, done() {} }
  }
  const terminal = stream.isTTY === true
  const protocol = options.previews ? detectProtocol(env, terminal) : null
  const clock = createClock()
  let picture: DrawnPreview | null = null
  /** What stands on the screen: a line, and the picture above it. */
  let drawn: { readonly picture: DrawnPreview | null } | null = null
  let lastLabel = ''
  let lastLineAt = 0

  const toTop = () => (drawn ? `\x1b[${(drawn.picture?.rows ?? 0) + 1}F\x1b[0J` : '')
  const clear = () => {
    if (drawn) stream.write(`${toTop()}${drawn.picture ? protocol?.erase : ''}`)
    drawn = null
  }
  const draw = (line: string) => {
    const text = `${line.slice(0, (stream.columns || 80) - 1)}\n`
    // A picture that is there stays: only the line is written again.
    if (drawn?.picture === picture) stream.write(`\x1b[1F\x1b[0J${text}`)
    else stream.write(`${toTop()}${picture?.bytes ?? ''}${text}`)
    drawn = { picture }
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
    async preview(image) {
      const cells = cellsOf(image, { columns: stream.columns || 80, rows: stream.rows || 24 })
      if (protocol && cells) picture = await protocol.draw(image, cells)
    },
    showsPreviews: protocol !== null,
    note(text) {
      clear()
      stream.write(`${text}\n`)
    },
    done() {
      clear()
      picture = null
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
