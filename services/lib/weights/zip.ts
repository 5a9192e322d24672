import type { ByteSource } from './byte-source.ts'
import { CheckpointError, maxTensors, quote } from './tensor-entry.ts'

/** Where the bytes of a stored (never compressed) zip entry lie in its file. */
export interface ZipEntry {
  readonly name: string
  readonly offset: number
  readonly length: number
}

const endLength = 22
const end64Length = 56
const locator64Length = 20
const centralLength = 46
const localLength = 30
const maxCommentLength = 0xffff
const maxDirectoryLength = 64 * 2 ** 20

/**
 * Reads the directory of a zip file and every entry's local header, so that both agree and no two entries share bytes.
 * Throws a CheckpointError for compressed or encrypted entries, names that are used twice or lead out of the archive,
 * entries that overlap or end past the directory, and archives in several volumes.
 * PKWARE APPNOTE 6.3.10, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (sections in brackets).
 */
export function readZip(source: ByteSource): ReadonlyMap<string, ZipEntry> {
  const directory = findDirectory(source)
  const entries = new Map<string, ZipEntry>()
  const ranges: { name: string; start: number; end: number }[] = []
  for (const central of readDirectory(source, directory)) {
    if (entries.has(central.name))
      throw new CheckpointError(source.path, `has two entries named ${quote(central.name)}`)
    const offset = readLocalHeader(source, central, directory.offset)
    entries.set(central.name, { name: central.name, offset, length: central.length })
    ranges.push({ name: central.name, start: central.headerOffset, end: offset + central.length })
  }
  ranges.sort((a, b) => a.start - b.start)
  for (const [index, { name, start, end }] of ranges.entries()) {
    const next = ranges[index + 1]
    if (next !== undefined && next.start < end)
      throw new CheckpointError(
        source.path,
        `entries ${quote(name)} (bytes ${start} to ${end}) and ${quote(next.name)} (from byte ${next.start}) overlap`,
      )
  }
  return entries
}

interface Directory {
  readonly offset: number
  readonly length: number
  readonly count: number
}

interface CentralHeader {
  readonly name: string
  readonly rawName: Uint8Array
  readonly length: number
  readonly headerOffset: number
}

function findDirectory(source: ByteSource): Directory {
  const { path, size } = source
  const tailStart = Math.max(0, size - endLength - maxCommentLength)
  const tail = viewOf(source.read(tailStart, size - tailStart))
  let at = tail.byteLength - endLength
  // The comment must reach exactly to the end of the file: nothing may hide behind the archive. [4.3.16]
  while (
    at >= 0 &&
    !(tail.getUint32(at, true) === 0x06054b50 && tail.getUint16(at + 20, true) === tail.byteLength - at - endLength)
  )
    at--
  if (at < 0) throw new CheckpointError(path, 'is no whole zip file: it has no end-of-directory record (truncated?)')

  const end = tailStart + at
  const short = {
    disks: tail.getUint16(at + 4, true) || tail.getUint16(at + 6, true),
    count: tail.getUint16(at + 10, true),
    length: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  }
  const long = readEnd64(source, end)
  // Fields that are too small for their value are filled with ones, and the zip64 record holds the value. [4.4.1.4]
  const field = (name: 'disks' | 'count' | 'length' | 'offset', ones: number) => {
    if (long === undefined) return short[name]
    if (short[name] !== ones && short[name] !== long[name])
      throw new CheckpointError(
        path,
        `the two end-of-directory records differ in ${name}: ${short[name]} and ${long[name]}`,
      )
    return long[name]
  }
  const directory = {
    disks: field('disks', 0xffff),
    count: field('count', 0xffff),
    length: field('length', 0xffffffff),
    offset: field('offset', 0xffffffff),
  }
  if (directory.disks !== 0) throw new CheckpointError(path, 'is one volume of several; a single file is allowed')
  if (directory.count > maxTensors)
    throw new CheckpointError(path, `has ${directory.count} entries; at most ${maxTensors} are allowed`)
  if (directory.length > maxDirectoryLength)
    throw new CheckpointError(
      path,
      `the directory has ${directory.length} bytes; at most ${maxDirectoryLength} are allowed`,
    )
  const limit = long?.start ?? end
  if (directory.offset + directory.length > limit)
    throw new CheckpointError(
      path,
      `the directory, ${directory.length} bytes at ${directory.offset}, runs past its end record at byte ${limit}`,
    )
  return directory
}

/** The zip64 record in front of the end record, if the locator says that there is one. [4.3.14, 4.3.15] */
function readEnd64(source: ByteSource, end: number) {
  const { path } = source
  if (end < locator64Length + end64Length) return undefined
  const locator = viewOf(source.read(end - locator64Length, locator64Length))
  if (locator.getUint32(0, true) !== 0x07064b50) return undefined
  const start = uint64(locator, 8)
  if (start + end64Length > end - locator64Length)
    throw new CheckpointError(
      path,
      `the zip64 record at byte ${start} doesn't lie before its locator at ${end - locator64Length}`,
    )
  const record = viewOf(source.read(start, end64Length))
  if (record.getUint32(0, true) !== 0x06064b50) throw new CheckpointError(path, `has no zip64 record at byte ${start}`)
  return {
    start,
    disks: locator.getUint32(4, true) || record.getUint32(16, true) || record.getUint32(20, true),
    count: uint64(record, 32),
    length: uint64(record, 40),
    offset: uint64(record, 48),
  }
}

function* readDirectory(source: ByteSource, directory: Directory): Generator<CentralHeader> {
  const { path } = source
  const view = viewOf(source.read(directory.offset, directory.length))
  let at = 0
  for (let index = 0; index < directory.count; index++) {
    if (at + centralLength > view.byteLength || view.getUint32(at, true) !== 0x02014b50)
      throw new CheckpointError(path, `the directory has ${index} entries; its end record says ${directory.count}`)
    const nameLength = view.getUint16(at + 28, true)
    const extraLength = view.getUint16(at + 30, true)
    const next = at + centralLength + nameLength + extraLength + view.getUint16(at + 32, true)
    if (next > view.byteLength) throw new CheckpointError(path, `entry ${index} runs past the end of the directory`)
    const rawName = new Uint8Array(view.buffer, at + centralLength, nameLength)
    const name = checkName(path, rawName)
    const fail = (problem: string): never => {
      throw new CheckpointError(path, `entry ${quote(name)} ${problem}`)
    }
    const flags = view.getUint16(at + 8, true)
    const method = view.getUint16(at + 10, true)
    // Bits 0, 6 and 13: encryption, strong encryption, masked headers. [4.4.4]
    if ((flags & 0x2041) !== 0) fail('is encrypted; plain entries are allowed')
    if (method !== 0) fail(`is compressed (method ${method}); stored entries (method 0) are allowed`)
    const extra = new DataView(view.buffer, at + centralLength + nameLength, extraLength)
    const [length, storedLength, headerOffset] = widen(extra, [
      view.getUint32(at + 24, true),
      view.getUint32(at + 20, true),
      view.getUint32(at + 42, true),
    ])
    if (length === undefined || storedLength === undefined || headerOffset === undefined)
      return fail('has no zip64 field for its sizes')
    if (length !== storedLength) fail(`has ${length} bytes and takes ${storedLength}; both must be equal`)
    yield { name, rawName, length, headerOffset }
    at = next
  }
  if (at !== view.byteLength)
    throw new CheckpointError(path, `${view.byteLength - at} bytes follow the directory's last entry; none are allowed`)
}

/** The values, in the order in which the zip64 field lists those that didn't fit. [4.5.3] */
function widen(extra: DataView, values: readonly number[]): (number | undefined)[] {
  if (!values.includes(0xffffffff)) return [...values]
  let at = 0
  while (at + 4 <= extra.byteLength && extra.getUint16(at, true) !== 1) at += 4 + extra.getUint16(at + 2, true)
  if (at + 4 > extra.byteLength) return []
  const end = Math.min(extra.byteLength, at + 4 + extra.getUint16(at + 2, true))
  at += 4
  return values.map((value) => {
    if (value !== 0xffffffff) return value
    at += 8
    return at > end ? undefined : uint64(extra, at - 8)
  })
}

/** Returns where the entry's bytes start. They end before `limit`. [4.3.7] */
function readLocalHeader(source: ByteSource, entry: CentralHeader, limit: number): number {
  const fail = (problem: string): never => {
    throw new CheckpointError(source.path, `entry ${quote(entry.name)} ${problem}`)
  }
  const { headerOffset, rawName, length } = entry
  const fixedLength = localLength + rawName.length
  if (headerOffset + fixedLength > limit) fail(`starts at byte ${headerOffset}, past the end at ${limit}`)
  const header = viewOf(source.read(headerOffset, fixedLength))
  if (header.getUint32(0, true) !== 0x04034b50) fail(`has no local header at byte ${headerOffset}`)
  const name = new Uint8Array(header.buffer, localLength)
  if (header.getUint16(26, true) !== rawName.length || Buffer.compare(name, rawName) !== 0)
    fail('has another name in its local header')
  if (header.getUint16(8, true) !== 0) fail(`is compressed (method ${header.getUint16(8, true)}) by its local header`)
  // Zero where a data descriptor follows the bytes, ones where a zip64 field holds the length.
  const localSize = header.getUint32(18, true)
  if (localSize !== 0 && localSize !== 0xffffffff && localSize !== length)
    fail(`has ${length} bytes by the directory, ${localSize} by its local header`)
  const offset = headerOffset + fixedLength + header.getUint16(28, true)
  if (offset + length > limit) fail(`ends at byte ${offset + length}, past the end at ${limit}`)
  return offset
}

function checkName(path: string, raw: Uint8Array): string {
  const name = Buffer.from(raw).toString('utf8')
  const parts = name.endsWith('/') ? name.slice(0, -1).split('/') : name.split('/')
  if (
    /[\\\0\ufffd]/.test(name) ||
    /^[A-Za-z]:/.test(name) ||
    parts.some((part) => part === '' || part === '.' || part === '..')
  )
    throw new CheckpointError(path, `has an entry named ${quote(name)}; relative paths inside the archive are allowed`)
  return name
}

function viewOf(bytes: Uint8Array<ArrayBuffer>): DataView<ArrayBuffer> {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Lengths above 2^53 lose their last bits here, and are refused for being past the end. */
function uint64(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
}
