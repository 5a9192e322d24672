import { contracts } from '../lib/mesh/contracts.ts'
import type { Events } from '../lib/mesh/events/events.ts'
import type { Progress, Progress__Output } from '../lib/mesh/generated/moma/generation/v1/Progress.ts'
import type { GenerationStatus } from './db/schema.ts'
import { toTimestamp } from './messages/timestamp.ts'
import { type KeptAsset, type Stage, stages } from './runner/run-store.ts'

/** The whole of a generation's progress at one moment, without its cursor. */
export interface Snapshot {
  readonly id: string
  /** 0 before the first. */
  readonly attempt: number
  readonly status: GenerationStatus
  /** What it is at, or ended at; null before the first. */
  readonly stage: Stage | null
  readonly step: number
  readonly steps: number
  /** Which picture preview and mask are about, from 0. */
  readonly imageIndex: number
  readonly queuePosition: number
  /** Null as long as it can't be told. */
  readonly etaMs: number | null
  readonly preview: KeptAsset | null
  readonly mask: KeptAsset | null
  readonly time: Date
}

/** Share of the whole at which each stage begins; drawing is by far the longest. */
const stageStarts: Readonly<Record<Stage, number>> = {
  REVIEW_INPUT: 0,
  VISION: 0.01,
  CONTEXT: 0.03,
  DENOISE: 0.1,
  REVIEW_OUTPUT: 0.96,
  STORE: 0.99,
}

/** Share of the whole that is done, 0 … 1. */
export function fractionOf({ status, stage, step, steps }: Omit<Progressing, 'attempt'>): number {
  if (status === 'SUCCEEDED') return 1
  if (stage === null) return 0
  const start = stageStarts[stage]
  if (stage !== 'DENOISE') return start
  return start + (stageStarts.REVIEW_OUTPUT - start) * Math.min(step / Math.max(steps, 1), 1)
}

type Progressing = Pick<Snapshot, 'attempt' | 'status' | 'stage' | 'step' | 'steps'>

export const isEnded = (status: GenerationStatus): boolean =>
  status === 'SUCCEEDED' || status === 'FAILED' || status === 'REJECTED' || status === 'CANCELED'

/** As `isEnded`, of a message. */
export const isEndedMessage = ({ status }: Pick<Progress__Output, 'status'>): boolean =>
  isEnded(status.replace('GENERATION_STATUS_', '') as GenerationStatus)

/**
 * How far a snapshot is, in an order in which nothing goes back: attempts, then stages, then steps; asked to stop is
 * further than any of them, and ended than all. Events and the database are told apart by it where both know something.
 */
export interface Position {
  readonly attempt: number
  readonly phase: number
  readonly step: number
}

const cancelingPhase = stages.length + 1
const endedPhase = cancelingPhase + 1

export function positionOf({ attempt, status, stage, step }: Omit<Progressing, 'steps'>): Position {
  if (isEnded(status)) return { attempt, phase: endedPhase, step: 0 }
  if (status === 'CANCELING') return { attempt, phase: cancelingPhase, step }
  return { attempt, phase: stage === null ? 0 : 1 + stages.indexOf(stage), step }
}

export const isEndedPosition = ({ phase }: Position): boolean => phase === endedPhase

/** Below 0 where `a` is before `b`, 0 where neither is. */
export function comparePositions(a: Position, b: Position): number {
  // Nothing follows an end, whichever attempt came to it.
  const ended = Number(isEndedPosition(a)) - Number(isEndedPosition(b))
  return ended || a.attempt - b.attempt || a.phase - b.phase || a.step - b.step
}

/** A cursor: how far the snapshot is, and where among the events it stands, which is not known of what the database says. */
export interface Cursor {
  readonly position: Position
  readonly event: string | null
}

export function formatCursor({ position: { attempt, phase, step }, event }: Cursor): string {
  return `${attempt}.${phase}.${step}.${event ?? ''}`
}

/** Null where it is none of ours. */
export function parseCursor(text: string): Cursor | null {
  const match = /^(\d{1,9})\.(\d{1,2})\.(\d{1,9})\.(.{0,200})$/.exec(text)
  if (!match) return null
  const [attempt, phase, step] = match.slice(1, 4).map(Number) as [number, number, number]
  return { position: { attempt, phase, step }, event: match[4] || null }
}

/** The snapshot as the contract has it. */
export function progressMessage(snapshot: Snapshot, event: string | null): Progress {
  const { status, stage, step, steps, imageIndex, queuePosition, etaMs, preview, mask, time } = snapshot
  const isRunning = status === 'RUNNING' || status === 'CANCELING'
  return {
    cursor: formatCursor({ position: positionOf(snapshot), event }),
    status: `GENERATION_STATUS_${status}`,
    stage: isRunning && stage !== null ? `STAGE_${stage}` : 'STAGE_UNSPECIFIED',
    step,
    steps,
    imageIndex,
    fraction: fractionOf(snapshot),
    queuePosition: status === 'QUEUED' ? queuePosition : 0,
    ...(etaMs === null ? {} : { etaMs: Math.round(Math.min(Math.max(etaMs, 0), 2 ** 32 - 1)) }),
    preview,
    mask,
    time: toTimestamp(time),
  }
}

const { deserialize, serialize } = contracts['moma.generation.v1.Progress'] as unknown as {
  serialize(message: object): Buffer
  deserialize(bytes: Buffer): Progress__Output
}

/** The bytes of a Progress message, whose cursor says only how far it is: where it stands the events will say. */
export function encodeProgress(snapshot: Snapshot): Uint8Array {
  return serialize(progressMessage(snapshot, null))
}

/** What `encodeProgress` wrote, with its whole cursor; null where the bytes are of another kind or age. */
export function decodeProgress(
  data: Uint8Array,
  event: string,
): { readonly progress: Progress__Output; readonly position: Position } | null {
  try {
    const progress = deserialize(Buffer.from(data.buffer, data.byteOffset, data.byteLength))
    const cursor = parseCursor(progress.cursor)
    if (!cursor) return null
    const { position } = cursor
    return { progress: { ...progress, cursor: formatCursor({ position, event }) }, position }
  } catch {
    return null
  }
}

/**
 * Tells who watches. Whoever changes a row publishes after the commit; what is lost in between, watchers read from the
 * row. Ended snapshots are published by the store, which alone knows what a generation ended as.
 */
export async function publishProgress(events: Events, snapshot: Snapshot): Promise<void> {
  await events.publish(snapshot.id, encodeProgress(snapshot))
}
