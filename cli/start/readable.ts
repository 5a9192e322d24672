/** pino's numbers. */
const levels: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
}

/**
 * A line of a process's log for people: `18:40:02 generation warn  message key=value`. What is no line of a log is said
 * by the process itself, and stays.
 */
export function readableLine(source: string, line: string): string {
  const entry = parse(line)
  if (!entry) return `${source}: ${line}`
  const { level, time, msg, err, ...rest } = entry
  const fields = Object.entries(rest).map(([key, value]) => `${key}=${shown(value)}`)
  const reason = isObject(err) ? [`(${err.message ?? err.type})`] : []
  const words = [msg, ...reason, ...fields].filter((word) => word !== undefined && word !== '')
  return `${clock(time)} ${source.padEnd(10)} ${(levels[Number(level)] ?? '').padEnd(5)} ${words.join(' ')}`
}

function parse(line: string): Record<string, unknown> | null {
  if (!line.startsWith('{')) return null
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) && 'level' in value ? value : null
  } catch {
    return null
  }
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

function shown(value: unknown): string {
  return typeof value === 'string' && !/[\s"=]/.test(value) ? value : JSON.stringify(value)
}

/** Local time of day; a log may have none. */
function clock(time: unknown): string {
  const date = new Date(typeof time === 'string' || typeof time === 'number' ? time : Number.NaN)
  return Number.isNaN(date.getTime()) ? '--:--:--' : date.toTimeString().slice(0, 8)
}
