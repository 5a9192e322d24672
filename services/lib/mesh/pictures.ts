import { subjectHash } from '../content-cache.ts'
import type { GreyImage, RgbImage, Size } from '../images/image.ts'
import { checkLabel } from '../tokenizers/text.ts'
import { invalid } from './errors.ts'
import type { Mask, Mask__Output } from './generated/moma/common/v1/Mask.ts'
import type { Picture, Picture__Output } from './generated/moma/common/v1/Picture.ts'
import type { SubjectPicture, SubjectPicture__Output } from './generated/moma/common/v1/SubjectPicture.ts'

/** Longest side of a picture that travels between services. */
export const maxSidePx = 2048
/** Longest side of the square that a subject is worked with at. */
const maxWorkingSidePx = 1024

/** A thing as the networks see it. */
export interface SubjectView {
  /** With its own background; a square whose side 64 divides. */
  readonly reference: RgbImage
  /** 255 where the subject is, of the photo's size. */
  readonly mask: GreyImage
  readonly label: string
  /** `subjectHash` of photo and mask. */
  readonly contentHash: string
}

/** Shares the image's memory; transparency does not travel. */
export function pictureMessage({ widthPx, heightPx, pixels }: RgbImage): Picture {
  return { widthPx, heightPx, rgb: pixels }
}

export function maskMessage({ widthPx, heightPx, pixels }: GreyImage): Mask {
  return { widthPx, heightPx, shares: pixels }
}

export function subjectMessage({ reference, mask, label, contentHash }: SubjectView): SubjectPicture {
  return { reference: pictureMessage(reference), mask: maskMessage(mask), label, contentHash }
}

/** Shares the message's memory. Throws INVALID_ARGUMENT that names the field, what it was and what it may be. */
export function readPicture(field: string, message: Picture__Output | null): RgbImage {
  if (!message) throw invalid(field, 'missing', 'a picture')
  const pixels = readPixels(`${field}.rgb`, message.rgb, readSize(field, message), 3)
  return { widthPx: message.widthPx, heightPx: message.heightPx, pixels, alpha: null }
}

export function readMask(field: string, message: Mask__Output | null): GreyImage {
  if (!message) throw invalid(field, 'missing', 'a mask')
  const pixels = readPixels(`${field}.shares`, message.shares, readSize(field, message), 1)
  return { widthPx: message.widthPx, heightPx: message.heightPx, pixels }
}

/** Also checks that the hash is that of photo and mask: what is kept under it serves other requests. */
export function readSubject(field: string, message: SubjectPicture__Output | null): SubjectView {
  if (!message) throw invalid(field, 'missing', 'a subject')
  const reference = readPicture(`${field}.reference`, message.reference)
  const { widthPx, heightPx } = reference
  if (widthPx !== heightPx || widthPx % 64 !== 0 || widthPx > maxWorkingSidePx) {
    const allowed = `a square whose side is a multiple of 64 up to ${maxWorkingSidePx} px`
    throw invalid(`${field}.reference`, `${widthPx} × ${heightPx} px`, allowed)
  }
  const mask = readMask(`${field}.mask`, message.mask)
  if (mask.widthPx !== widthPx || mask.heightPx !== heightPx) {
    throw invalid(`${field}.mask`, `${mask.widthPx} × ${mask.heightPx} px`, `${widthPx} × ${heightPx} px as the photo`)
  }
  checkLabel(message.label)
  const contentHash = subjectHash(reference, mask)
  if (message.contentHash !== contentHash) {
    throw invalid(`${field}.content_hash`, message.contentHash, `the photo's and mask's, ${contentHash}`)
  }
  return { reference, mask, label: message.label, contentHash }
}

function readSize(field: string, { widthPx, heightPx }: Size): Size {
  for (const [side, px] of Object.entries({ width_px: widthPx, height_px: heightPx })) {
    if (px < 1 || px > maxSidePx) throw invalid(`${field}.${side}`, px, `a whole number from 1 to ${maxSidePx}`)
  }
  return { widthPx, heightPx }
}

function readPixels(field: string, bytes: Buffer, { widthPx, heightPx }: Size, channels: number): Uint8Array {
  const length = widthPx * heightPx * channels
  if (bytes.length !== length) {
    throw invalid(field, `${bytes.length} bytes long`, `${length} bytes for ${widthPx} × ${heightPx} px`)
  }
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}
