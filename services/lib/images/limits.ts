/** Bounds of a picture handed in; all but the bytes are read from its header, before a pixel is decoded. */
export interface ImageLimits {
  readonly maxBytes: number
  readonly maxPixels: number
  readonly minSidePx: number
  readonly maxSidePx: number
}

/** 20 MiB, 40 megapixels (a phone's or a full-frame camera's photo), sides from 16 to 16384 px. */
export const defaultImageLimits: ImageLimits = {
  maxBytes: 20 * 1024 * 1024,
  maxPixels: 40_000_000,
  minSidePx: 16,
  maxSidePx: 16_384,
}
