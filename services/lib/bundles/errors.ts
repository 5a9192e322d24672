/** What went wrong with a bundle, for exit codes and for deciding whether another attempt can help. */
export type BundleFault =
  | 'manifest'
  | 'lock'
  | 'notPulled'
  | 'access'
  | 'notFound'
  | 'network'
  | 'checksum'
  | 'disk'
  | 'unsafePath'
  | 'busy'
  | 'aborted'

/** The one error of this folder; its message is a whole sentence for the person who asked for the bundle. */
export class BundleError extends Error {
  readonly fault: BundleFault
  /** How long the server asked to be left alone, in milliseconds; only with the fault `network`. */
  readonly retryAfterMs: number | undefined

  constructor(
    fault: BundleFault,
    message: string,
    details: { cause?: unknown; retryAfterMs?: number | undefined } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'BundleError'
    this.fault = fault
    this.retryAfterMs = details.retryAfterMs
  }
}

/** The innermost message of an error: fetch hides the reason ("ECONNREFUSED …") in its cause. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message || error.name
}

/** The code of a file system error (`ENOENT`, `ENOSPC` …), if it is one. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** Something is asked for that this bundle has no network for. */
export class NotInBundle extends RangeError {
  override readonly name = 'NotInBundle'
}
