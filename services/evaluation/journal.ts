import { type FileHandle, open, truncate } from 'node:fs/promises'

/** What is kept of one drawn picture: enough to measure it again without drawing it again. */
export interface JournalPicture {
  readonly seed: number
  /** Relative to the journal's folder, with forward slashes. */
  readonly file: string
  /** Little-endian float32 in base64. */
  readonly dino: string
  readonly clip: string
  readonly maskIou: number | null
}

/** One finished unit. */
export interface JournalRecord {
  /** Hash of everything that decides its pictures. */
  readonly key: string
  readonly pictures: readonly JournalPicture[]
}

/** The finished units of an evaluation in a file of JSON lines; a run that was killed goes on from it. */
export interface Journal extends AsyncDisposable {
  /** By key; the last of several wins. */
  readonly records: ReadonlyMap<string, JournalRecord>
  /** Is on disk when it settles. */
  append(record: JournalRecord): Promise<void>
}

/** A journal that can't be gone on with; one sentence for the person who runs the evaluation. */
export class JournalError extends Error {
  override readonly name = 'JournalError'
}

const longestJournalBytes = 2 ** 28

/**
 * Opens or begins a journal. The last line is cut off where a kill left it torn. Throws JournalError for a journal that
 * has records where `resume` is false, one over 256 MiB, and any other line that is no record.
 */
export async function openJournal(file: string, resume: boolean): Promise<Journal> {
  const handle = await open(file, 'a+')
  try {
    const records = await readRecords(handle, file)
    if (records.size > 0 && !resume) {
      throw new JournalError(
        `${file} has ${records.size} finished requests of an earlier run; go on with --resume, or choose another folder`,
      )
    }
    return {
      records,
      async append(record) {
        await handle.appendFile(`${JSON.stringify(record)}\n`)
        await handle.datasync()
        records.set(record.key, record)
      },
      [Symbol.asyncDispose]: () => handle.close(),
    }
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function readRecords(handle: FileHandle, file: string): Promise<Map<string, JournalRecord>> {
  const { size } = await handle.stat()
  if (size > longestJournalBytes)
    throw new JournalError(`${file} has ${size} bytes, allowed are ${longestJournalBytes}`)
  const bytes = Buffer.alloc(size)
  await handle.read(bytes, 0, size, 0)
  const whole = bytes.lastIndexOf('\n') + 1
  if (whole < size) await truncate(file, whole)
  const records = new Map<string, JournalRecord>()
  for (const [index, line] of bytes.toString('utf8', 0, whole).split('\n').entries()) {
    if (line === '') continue
    const record = parseRecord(line)
    if (!record) throw new JournalError(`${file}, line ${index + 1} is no record; remove the file to begin anew`)
    records.set(record.key, record)
  }
  return records
}

function parseRecord(line: string): JournalRecord | null {
  try {
    const value: unknown = JSON.parse(line)
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}

function isRecord(value: unknown): value is JournalRecord {
  if (typeof value !== 'object' || value === null) return false
  const { key, pictures } = value as Partial<Record<keyof JournalRecord, unknown>>
  return typeof key === 'string' && Array.isArray(pictures) && pictures.every(isPicture)
}

function isPicture(value: unknown): value is JournalPicture {
  if (typeof value !== 'object' || value === null) return false
  const { seed, file, dino, clip, maskIou } = value as Partial<Record<keyof JournalPicture, unknown>>
  return (
    Number.isSafeInteger(seed) &&
    [file, dino, clip].every((field) => typeof field === 'string') &&
    (maskIou === null || typeof maskIou === 'number')
  )
}

/** A vector as the journal keeps it; reading it back gives the same numbers. */
export function packVector(vector: Float32Array): string {
  return Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
}

export function unpackVector(packed: string): Float32Array {
  return new Float32Array(new Uint8Array(Buffer.from(packed, 'base64')).buffer)
}
