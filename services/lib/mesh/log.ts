import { AsyncLocalStorage } from 'node:async_hooks'
import { type Logger, pino } from 'pino'

export type { Logger }

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** JSON lines on stderr. Nobody writes pictures, prompts or keys into them. */
export function createLogger(level: LogLevel): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }))
}

export const silentLogger: Logger = pino({ level: 'silent' })

/** What the log lines of one piece of work are found by, wherever in the mesh they are written. */
export interface CallFields {
  readonly requestId?: string
  readonly generationId?: string
}

const fields = new AsyncLocalStorage<CallFields>()

/** Runs `work` with these fields beside those around it; calls to other services carry them along. */
export function withCallFields<T>(more: CallFields, work: () => T): T {
  return fields.run({ ...fields.getStore(), ...more }, work)
}

export function callFields(): CallFields {
  return fields.getStore() ?? {}
}
