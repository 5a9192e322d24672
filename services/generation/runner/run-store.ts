import type { Verdict } from '../../safety/safety.ts'
import type { CompleteRequest } from '../request.ts'

/** What a running generation is at; names as in moma.generation.v1.Stage. */
export const stages = ['REVIEW_INPUT', 'VISION', 'CONTEXT', 'DENOISE', 'REVIEW_OUTPUT', 'STORE'] as const
export type Stage = (typeof stages)[number]

/** A stage and when it was entered. */
export interface Entered {
  readonly stage: Stage
  readonly at: Date
}

export type EndStatus = 'FAILED' | 'REJECTED' | 'CANCELED'

/** Why a generation ended without pictures. */
export interface EndReason {
  /** One sentence for the client. */
  readonly message: string
  readonly stage: Stage | null
  /** Whether asking again can help. */
  readonly retryable: boolean
  /** The decisive verdict where the safety service ended it. */
  readonly verdict: Verdict | null
}

/** One attempt at a generation. A newer attempt fences an older one off: its writes do nothing any more. */
export interface Run {
  readonly id: string
  readonly tenant: string
  /** From 1. */
  readonly attempt: number
  /** Attempts since the generation last got further, this one among them; none that a runner's own shutdown ended. */
  readonly faults: number
  readonly subject: {
    readonly id: string
    readonly label: string
    /** PNG of the photo at the working size. */
    readonly image: AssetKey
    /** PNG of the mask, white where the subject is. */
    readonly mask: AssetKey
    readonly contentHash: string
    /** Version of the policy that let it in, and who judged by it. */
    readonly policyVersion: string
  }
  readonly request: CompleteRequest
  /** What an earlier attempt got to with this bundle's networks; null to start from noise. */
  readonly checkpoint: { readonly step: number; readonly bytes: Uint8Array } | null
}

/** Name of a file in the asset storage. */
export type AssetKey = string

/** Where a file is to be, and the capability that will read it. */
export interface Place {
  readonly key: AssetKey
  readonly token: string
}

/** A picture or mask to be kept with a generation. */
export interface NewAsset {
  readonly bytes: Uint8Array
  readonly contentType: string
  readonly widthPx: number
  readonly heightPx: number
}

/** What of a picture that is becoming is shown. */
export type PreviewKind = 'preview' | 'mask'

export interface NewImage {
  readonly index: number
  readonly seed: number
  readonly image: NewAsset
  readonly mask: NewAsset
  readonly verdict: Verdict
}

/** A kept asset as progress events name it: `token` is the capability that reads it (moma.generation.v1.Asset). */
export interface KeptAsset {
  readonly token: string
  readonly contentType: string
  readonly widthPx: number
  readonly heightPx: number
  readonly byteLength: number
}

/**
 * What a runner needs of the system of record. Writes that belong to a run answer false, and have done nothing, once a
 * newer attempt has begun, cancellation has been asked for (except `end`), or the generation has ended. Stages that were
 * entered since the write before are `entered`, in order.
 */
export interface RunStore {
  /**
   * Begins the next attempt: QUEUED or RUNNING → RUNNING; what an earlier one showed is taken away. Null when there is
   * nothing to do: unknown or ended. One that is CANCELING becomes CANCELED here, and is null too. After `maxAttempts`
   * without getting further in between it becomes FAILED with that reason.
   */
  begin(id: string): Promise<Run | null>
  /** Enters one stage or several, one after another; the time in each is added to what it took before. */
  enterStages(run: Run, entered: readonly Entered[]): Promise<boolean>
  /**
   * The step that is reached, and what a later attempt goes on from; null bytes leave the checkpoint as it is. With a
   * checkpoint beyond all that were kept before, the generation has got further.
   */
  keepStep(run: Run, step: number, checkpoint: Uint8Array | null, entered?: readonly Entered[]): Promise<boolean>
  /** What allowed the words, and the subject where it was judged anew: that is the subject's verdict from then on. */
  keepVerdicts(run: Run, prompt: Verdict, subject: Verdict | null, entered?: readonly Entered[]): Promise<boolean>
  /** What of the prompt the text encoder does not read. */
  keepUnread(run: Run, text: string, entered?: readonly Entered[]): Promise<boolean>
  /** Keeps small pictures of what is becoming, once DENOISE is written; each goes when a newer one comes and when the generation ends. */
  keepPreviews<Kind extends PreviewKind>(
    run: Run,
    assets: Readonly<Record<Kind, NewAsset>>,
  ): Promise<Readonly<Record<Kind, KeptAsset>> | null>
  /** Takes the kept ones away: nobody who begins to watch is shown them, and nobody can read them. */
  dropPreviews(run: Run): Promise<boolean>
  /** Places for the files of `count` pictures that are still being made. */
  reserve(run: Run, count: number): Promise<readonly Place[]>
  /**
   * Pictures kept and SUCCEEDED in one transaction; files are written before it, to places that are reserved or else to
   * new ones, and taken away when it fails.
   */
  succeed(
    run: Run,
    images: readonly NewImage[],
    entered?: readonly Entered[],
    places?: readonly Place[],
  ): Promise<boolean>
  /** Ends it; CANCELING ends as CANCELED whatever `status` says. */
  end(run: Run, status: EndStatus, reason: EndReason | null): Promise<boolean>
  /** Hands it back unharmed: its runner is shutting down, and this attempt counts for nothing but its number. */
  handBack(run: Run): Promise<boolean>
  /** As the run's `faults`, now: it may have got further since it was begun. */
  countFaults(run: Run): Promise<number>
  /** Whether it was asked to stop, or is not this attempt's any more. */
  isStopped(run: Run): Promise<boolean>
  /** Ids of all that is QUEUED, RUNNING or CANCELING, the oldest first: put into the queue again at start and now and then. */
  unfinished(): AsyncIterable<string>
  /** Bytes of a kept file. */
  readAsset(key: AssetKey): Promise<Uint8Array>
}
