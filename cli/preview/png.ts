import type { RgbImage } from '../../services/lib/images/image.ts'
import { resizeBicubic } from '../../services/lib/images/resize.ts'

/** More than this, cells of ordinary size would not show. */
const largestSidePx = 320

/** The picture as a PNG in base64, shrunk to what a preview's cells show. */
export async function previewPng(image: RgbImage): Promise<{ readonly base64: string; readonly byteLength: number }> {
  const scale = Math.min(1, largestSidePx / Math.max(image.widthPx, image.heightPx))
  const side = (px: number) => Math.max(1, Math.round(px * scale))
  const small = scale === 1 ? image : await resizeBicubic(image, side(image.widthPx), side(image.heightPx))
  // Most terminals show no PNG: whoever draws for them need not wait for what encodes one.
  const { encodeDrawnPreview } = await import('../../services/lib/images/encode.ts')
  const bytes = await encodeDrawnPreview(small)
  return { base64: Buffer.from(bytes).toString('base64'), byteLength: bytes.length }
}
