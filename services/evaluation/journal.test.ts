import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type JournalRecord, openJournal, packVector, unpackVector } from './journal.ts'

let folder: string
let file: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moma-journal-'))
  file = join(folder, 'journal.jsonl')
})
afterEach(() => rm(folder, { recursive: true }))

const record = (key: string, seed = 1): JournalRecord => ({
  key,
  pictures: [{ seed, file: `${key}.png`, dino: packVector(Float32Array.of(0.1, -2)), clip: '', maskIou: null }],
})

async function write(...records: JournalRecord[]): Promise<void> {
  await using journal = await openJournal(file, true)
  for (const one of records) await journal.append(one)
}

async function read(): Promise<JournalRecord[]> {
  await using journal = await openJournal(file, true)
  return [...journal.records.values()]
}

test('records outlive the run that wrote them; the last of a key wins', async () => {
  await write(record('a'), record('b'))
  await write(record('a', 2))
  expect(await read()).toEqual([record('a', 2), record('b')])
})

test('a line that a kill left torn is cut off, and the next record stands on a line of its own', async () => {
  await write(record('a'))
  for (const torn of ['{"key":"b","pict', '\u{1f415}'.slice(0, 1), 'x'.repeat(5000)]) {
    await appendFile(file, torn)
    expect(await read()).toEqual([record('a')])
  }
  await appendFile(file, JSON.stringify(record('c')))
  await write(record('d'))
  expect(await read()).toEqual([record('a'), record('d')])
  expect((await readFile(file, 'utf8')).split('\n')).toHaveLength(3)
})

test('an earlier run is not gone on with unasked, an empty journal is', async () => {
  await (await openJournal(file, false))[Symbol.asyncDispose]()
  await write(record('a'))
  await expect(openJournal(file, false)).rejects.toThrow(
    'has 1 finished requests of an earlier run; go on with --resume',
  )
})

test.each(['no json', '{"key":1,"pictures":[]}', '{"key":"a","pictures":[{"seed":"1"}]}', 'null'])(
  'a whole line that is no record (%s) is an error that names it',
  async (line) => {
    await writeFile(file, `${JSON.stringify(record('a'))}\n${line}\n`)
    await expect(openJournal(file, true)).rejects.toThrow('journal.jsonl, line 2 is no record')
  },
)

test('vectors come back with every bit', () => {
  const vector = Float32Array.from({ length: 7 }, (_, index) => Math.fround(Math.sin(index) / 3))
  expect(unpackVector(packVector(vector.subarray(2)))).toEqual(vector.slice(2))
})
