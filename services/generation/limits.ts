import { defaultImageLimits, type ImageLimits } from '../lib/images/decode.ts'

/** Bounds of what tenants may send, ask and leave behind. */
export interface GenerationLimits {
  readonly maxUploadBytes: number
  /** Generations that a tenant may have waiting. */
  readonly maxQueued: number
  /** Photos of a tenant that may wait to be read, and how long: the rest of a call's time is for the reading itself. */
  readonly maxSubjectsWaiting: number
  readonly subjectWaitMs: number
  /** How long an upload's token is worth something. */
  readonly uploadTokenMs: number
  /** Silence in the middle of an upload after which it is ended: one that sends nothing would keep its place from others. */
  readonly uploadSilentMs: number
  /** How long an uploaded file is kept for subjects to be made from. */
  readonly uploadKeptMs: number
  /** Uploads that a tenant may have promised or written, and made no subject of, and how many bytes these may have. */
  readonly maxUnusedUploads: number
  readonly maxUnusedUploadBytes: number
  /** Ended generations are deleted after this; null: never. */
  readonly retentionMs: number | null
}

export const defaultLimits: GenerationLimits = {
  maxUploadBytes: 25 * 2 ** 20,
  maxQueued: 100,
  maxSubjectsWaiting: 32,
  subjectWaitMs: 30_000,
  uploadTokenMs: 15 * 60_000,
  // A phone that changes from one network to another is silent for a few seconds.
  uploadSilentMs: 15_000,
  uploadKeptMs: 24 * 3600_000,
  maxUnusedUploads: 1000,
  // That many photos as a phone takes them.
  maxUnusedUploadBytes: 4 * 2 ** 30,
  retentionMs: null,
}

export const imageLimits = ({ maxUploadBytes }: GenerationLimits): ImageLimits => ({
  ...defaultImageLimits,
  maxBytes: maxUploadBytes,
})
