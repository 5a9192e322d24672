import { status } from '@grpc/grpc-js'
import { NotInBundle } from '../bundles/errors.ts'
import { ImageError } from '../images/image.ts'
import { NetworkError } from '../runtime/errors.ts'
import { TextError } from '../tokenizers/text.ts'

/** Name of a gRPC status code (grpc/grpc, doc/statuscodes.md). */
export type Code = Exclude<keyof typeof status, 'OK'>

/** The one error of the mesh: its code says what the caller can do, its message is one sentence without paths. */
export class MeshError extends Error {
  override readonly name = 'MeshError'
  readonly code: Code

  constructor(code: Code, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** A field that is not as it should be: which, what it was, what it may be. */
export function invalid(field: string, value: unknown, allowed: string): MeshError {
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : String(value)
  return new MeshError('INVALID_ARGUMENT', `${field} is ${shown}, allowed is ${allowed}`)
}

/** Errors whose sentence is meant for whoever sent the request; by name where the class belongs to one service alone. */
const isAboutTheRequest = (error: Error) =>
  error instanceof RangeError ||
  error instanceof ImageError ||
  error instanceof TextError ||
  error.name === 'InvalidInput'

/**
 * Any error as a MeshError. What is about the request keeps its sentence; what went wrong inside is only named, with
 * the rest in `cause` for the log, since it may hold paths of this machine.
 */
export function translateError(error: unknown, service: string): MeshError {
  if (error instanceof MeshError) return error
  if (!(error instanceof Error)) return new MeshError('INTERNAL', `${service}: something went wrong`, error)
  if (error.name === 'AbortError') return new MeshError('CANCELLED', 'the call was cancelled', error)
  if (error.name === 'TimeoutError') return new MeshError('DEADLINE_EXCEEDED', 'the call took too long', error)
  if (error instanceof NotInBundle) return new MeshError('FAILED_PRECONDITION', error.message, error)
  if (error instanceof NetworkError) {
    // Another copy of the service can do it at once, this one when the network is back.
    if (error.lost) return new MeshError('UNAVAILABLE', `${service}: the network '${error.network}' was lost`, error)
    return new MeshError('INTERNAL', `${service}: the network '${error.network}' failed`, error)
  }
  if (isAboutTheRequest(error)) return new MeshError('INVALID_ARGUMENT', error.message, error)
  return new MeshError('INTERNAL', `${service}: something went wrong`, error)
}

/** The name of a numeric status code; UNKNOWN for one that gRPC does not have. */
export function codeOf(code: number): Code {
  const name = status[code]
  return name === undefined || name === 'OK' ? 'UNKNOWN' : (name as Code)
}
