/** A file named on the command line that can't be read or written. */
export class InputFileError extends Error {
  override readonly name = 'InputFileError'
}
