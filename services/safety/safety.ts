import type { GreyImage, RgbImage } from '../lib/images/image.ts'

export type SafetyStage = 'SUBJECT' | 'PROMPT' | 'PICTURE'

/** A part of a picture, in shares of its width and height from the top left, 0 … 1. */
export interface Region {
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
}

/** One observation of one detector. */
export interface Finding {
  readonly stage: SafetyStage
  /** What looked, such as `words`. */
  readonly detector: string
  /** What it saw, in words that may be shown. */
  readonly reason: string
  /** How sure it is, 0 … 1. */
  readonly score: number
  /** From where on it counts, 0 … 1. */
  readonly threshold: number
  /** Null for words. */
  readonly region: Region | null
}

export type Decision = 'ALLOWED' | 'REJECTED_PERSON' | 'REJECTED_CONTENT'

export interface Verdict {
  readonly decision: Decision
  /** The decisive one first. */
  readonly findings: readonly Finding[]
  readonly policyVersion: string
}

/** What is written of a picture that is asked for, or of a subject before anything is done with its photo. */
export interface Words {
  readonly label: string
  readonly prompt: string
  readonly negativePrompt: string
  /** The gate that asks, PROMPT if not said; SUBJECT for a label alone, with an empty prompt. */
  readonly stage?: 'SUBJECT' | 'PROMPT'
}

/**
 * The judge of what comes in and what goes out. In this process or behind gRPC, it is the same. A judgement that can't
 * be had throws; callers then draw and show nothing.
 */
export interface Safety {
  /** Before any network sees the photo but the one that finds its mask; the label's words first. */
  reviewSubject(
    subject: { readonly reference: RgbImage; readonly mask: GreyImage; readonly label: string },
    signal?: AbortSignal,
  ): Promise<Verdict>
  /** Words alone: no network runs. */
  reviewPrompt(words: Words, signal?: AbortSignal): Promise<Verdict>
  /** Before the picture is stored or a preview of it leaves. */
  reviewPicture(request: { readonly picture: RgbImage; readonly label: string }, signal?: AbortSignal): Promise<Verdict>
}
