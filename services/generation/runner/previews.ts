import { encodeDrawnPreview } from '../../lib/images/encode.ts'
import type { GreyImage, RgbImage } from '../../lib/images/image.ts'
import { encodePlane } from '../../lib/images/preview.ts'
import type { Logger } from '../../lib/mesh/log.ts'
import type { Verdict } from '../../safety/safety.ts'
import type { KeptAsset, NewAsset, PreviewKind } from './run-store.ts'

/** What may be shown of a generation that is under way; null where there is nothing yet. */
export interface Shown {
  readonly preview: KeptAsset | null
  readonly mask: KeptAsset | null
}

/**
 * Previews of the first picture beside the drawing, which never waits for them. Every few steps one is judged like a finished picture, and
 * only one that is allowed is kept and shown, its mask with it; one that is rejected, or that nobody could judge, takes
 * what was shown before away again, from the store as well as from who watches. What the generation ends as, the finished
 * pictures decide.
 */
export interface Previews {
  /** Takes the preview of a step, or lets it pass: it is not its turn, or the one before is still being judged. */
  offer(step: number, preview: RgbImage, mask: GreyImage): void
  readonly shown: Shown
  /** Once nothing is being judged or kept. */
  settled(): Promise<void>
}

export interface PreviewsOptions {
  /** 0: none at all. */
  readonly everySteps: number
  readonly log: Logger
  /** Of the attempt: what fails once it is aborted is no news. */
  readonly signal: AbortSignal
  judge(picture: RgbImage): Promise<Verdict>
  keep(pictures: Readonly<Record<PreviewKind, NewAsset>>): Promise<Readonly<Record<PreviewKind, KeptAsset>> | null>
  /** Takes away what was kept: nobody can read it any more. */
  drop(): Promise<unknown>
  /** There is something else to show. */
  onChange(): void
}

const nothing: Shown = { preview: null, mask: null }

export function createPreviews({ everySteps, log, signal, judge, keep, drop, onChange }: PreviewsOptions): Previews {
  let shown = nothing
  let underWay: Promise<void> | null = null
  /** What is not certain to be gone is dropped once more with the next preview that is not shown. */
  let mayBeKept = false

  const show = async (picture: RgbImage, mask: GreyImage): Promise<Shown> => {
    const { decision } = await judge(picture)
    if (decision !== 'ALLOWED') return nothing
    const [preview, plane] = await Promise.all([encodeDrawnPreview(picture), encodePlane(mask)])
    mayBeKept = true
    return (await keep({ preview: png(picture, preview), mask: png(mask, plane) })) ?? nothing
  }

  const dropKept = async () => {
    await drop()
    mayBeKept = false
  }

  const settle = async (step: number, picture: RgbImage, mask: GreyImage) => {
    const failed = (err: unknown) => {
      if (!signal.aborted) log.warn({ err, step }, 'a preview is not shown')
      return nothing
    }
    const next = await show(picture, mask).catch(failed)
    if (next === nothing && mayBeKept && !signal.aborted) await dropKept().catch(failed)
    const changed = next !== shown
    shown = next
    underWay = null
    if (changed) onChange()
  }

  return {
    offer(step, preview, mask) {
      if (everySteps === 0 || step % everySteps !== 0 || underWay) return
      underWay = settle(step, preview, mask)
    },
    get shown() {
      return shown
    },
    async settled() {
      await underWay
    },
  }
}

export function png({ widthPx, heightPx }: RgbImage | GreyImage, bytes: Uint8Array): NewAsset {
  return { bytes, contentType: 'image/png', widthPx, heightPx }
}
