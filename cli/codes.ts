/** Exit codes, for scripts. */
export const exitCodes = {
  done: 0,
  /** A fault of ours. */
  fault: 1,
  /** A wrong option, variable, value or input file. */
  input: 2,
  /** A bundle that is missing, incomplete or damaged, or could not be fetched. */
  bundle: 3,
  /** The safety policy does not allow what was asked for, or one of the pictures that were drawn. */
  refused: 4,
  /** Ctrl-C; 128 + the signal's number, as shells count. */
  interrupted: 130,
  /** Nobody reads the output any more; as a program that SIGPIPE ends. */
  unread: 141,
  /** SIGTERM. */
  terminated: 143,
} as const
