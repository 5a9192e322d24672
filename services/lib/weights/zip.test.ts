import { sourceOf } from './byte-source.ts'
import { type ZipFixture, type ZipOptions, zipFile } from './fixtures.ts'
import { CheckpointError } from './tensor-entry.ts'
import { readZip } from './zip.ts'

const path = '/models/adapters.th'
const read = (file: Uint8Array) => readZip(sourceOf(path, file))
const bytes = Buffer.from('sixteen bytes: ..')
const entry = (name: string, more: Partial<ZipFixture> = {}): ZipFixture => ({ name, data: bytes, ...more })

test.each<[string, ZipOptions]>([
  ['a zip file', {}],
  ['a zip64 file', { zip64: true }],
  ['a zip file with a comment', { comment: 'PK\x05\x06 this is no record' }],
])('%s: every entry is found where its bytes lie', (_, options) => {
  const file = zipFile([entry('m/a'), entry('m/empty', { data: Buffer.alloc(0) }), entry('m/ß')], options)
  const entries = read(file)
  expect([...entries.keys()]).toEqual(['m/a', 'm/empty', 'm/ß'])
  for (const name of ['m/a', 'm/ß']) {
    const { offset, length } = entries.get(name)!
    expect(file.subarray(offset, offset + length)).toEqual(bytes)
    expect(offset % 64).toBe(0)
  }
  expect(entries.get('m/empty')!.length).toBe(0)
})

const plain = zipFile([entry('m/a')])
const names = ['../a', 'm/../../a', '/etc/passwd', 'm\\a', 'C:/a', 'm//a', './a', 'm/\0', '']

test.each<[string, Uint8Array, string]>([
  [
    'no zip',
    Buffer.from('no zip file at all, really'),
    'is no whole zip file: it has no end-of-directory record (truncated?)',
  ],
  ['a truncated file', plain.subarray(0, -1), 'is no whole zip file: it has no end-of-directory record (truncated?)'],
  [
    'bytes behind the archive',
    Buffer.concat([plain, bytes]),
    'is no whole zip file: it has no end-of-directory record (truncated?)',
  ],
  [
    'a compressed entry',
    zipFile([entry('m/a', { method: 8 })]),
    "entry 'm/a' is compressed (method 8); stored entries (method 0) are allowed",
  ],
  [
    'an encrypted entry',
    zipFile([entry('m/a', { flags: 0x809 })]),
    "entry 'm/a' is encrypted; plain entries are allowed",
  ],
  ...names.map((name): [string, Uint8Array, string] => [
    `the name ${JSON.stringify(name)}`,
    zipFile([entry(name)]),
    `has an entry named '${name.replace('\0', '\\u0000')}'; relative paths inside the archive are allowed`,
  ]),
  ['a name twice', zipFile([entry('m/a'), entry('m/b'), entry('m/a')]), "has two entries named 'm/a'"],
  [
    'another local name',
    zipFile([entry('m/a', { localName: 'm/b' })]),
    "entry 'm/a' has another name in its local header",
  ],
  [
    'the place of another entry',
    zipFile([entry('m/a'), entry('m/b', { headerOffset: 0 })]),
    "entry 'm/b' has another name in its local header",
  ],
  [
    'entries that overlap',
    zipFile([entry('m/a', { length: 100 }), entry('m/b'), entry('m/c')]),
    "entries 'm/a' (bytes 0 to 164) and 'm/b' (from byte 81) overlap",
  ],
  ['a length past the end', zipFile([entry('m/a', { length: 18 })]), "entry 'm/a' ends at byte 82, past the end at 81"],
  [
    'an offset past the end',
    zipFile([entry('m/a', { headerOffset: 2 ** 40 })], { zip64: true }),
    "entry 'm/a' starts at byte 1099511627776, past the end at 81",
  ],
  [
    'an offset to other bytes',
    zipFile([entry('m/a', { headerOffset: 7 })]),
    "entry 'm/a' has no local header at byte 7",
  ],
  [
    'two lengths',
    zipFile([entry('m/a', { compressedLength: 16 })]),
    "entry 'm/a' has 17 bytes and takes 16; both must be equal",
  ],
  [
    'ones without a zip64 field',
    zipFile([entry('m/a', { length: 0xffffffff })]),
    "entry 'm/a' has no zip64 field for its sizes",
  ],
  ['too high a count', zipFile([entry('m/a')], { count: 2 }), 'the directory has 1 entries; its end record says 2'],
  [
    'too low a count',
    zipFile([entry('m/a')], { count: 0 }),
    "49 bytes follow the directory's last entry; none are allowed",
  ],
  [
    'a million entries',
    zipFile([entry('m/a')], { zip64: true, count: 1e6 }),
    'has 1000000 entries; at most 262144 are allowed',
  ],
  [
    'a directory past the end',
    zipFile([entry('m/a')], { directoryOffset: 82 }),
    'the directory, 49 bytes at 82, runs past its end record at byte 130',
  ],
])('%s is refused', (_, file, problem) => {
  expect(() => read(file)).toThrow(new CheckpointError(path, problem))
})

test('a local header that calls its entry compressed or of another length is refused', () => {
  const compressed = zipFile([entry('m/a')])
  compressed.writeUInt16LE(8, 8)
  expect(() => read(compressed)).toThrow(
    new CheckpointError(path, "entry 'm/a' is compressed (method 8) by its local header"),
  )
  const longer = zipFile([entry('m/a')])
  longer.writeUInt32LE(18, 18)
  expect(() => read(longer)).toThrow(
    new CheckpointError(path, "entry 'm/a' has 17 bytes by the directory, 18 by its local header"),
  )
})

test('a volume of several, and end records that differ, are refused', () => {
  const volume = zipFile([entry('m/a')])
  volume.writeUInt16LE(1, volume.length - 18)
  expect(() => read(volume)).toThrow(new CheckpointError(path, 'is one volume of several; a single file is allowed'))
  const differing = zipFile([entry('m/a')], { zip64: true })
  differing.writeUInt16LE(2, differing.length - 12)
  expect(() => read(differing)).toThrow(
    new CheckpointError(path, 'the two end-of-directory records differ in count: 2 and 1'),
  )
})
