import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { manifestOf, placesWith } from '../../../test/hub/bundle.ts'
import { openBundle } from './bundles.ts'
import { lockFiles, writeLock } from './lock.ts'
import { sourcesDigest } from './manifest.ts'
import { type VerifyProgress, verifyBundle } from './verify.ts'

const names = ['a.bin', 'b.bin', 'c.bin', 'd.bin']

async function locked() {
  const places = await placesWith(manifestOf())
  const bundle = await openBundle('tiny', places)
  await mkdir(bundle.folder, { recursive: true })
  for (const name of names) await writeFile(join(bundle.folder, name), `content of ${name}`)
  const files = await lockFiles(bundle.folder, names)
  // Small files of the hub have git's checksum: that of "content of d.bin", by `git hash-object`.
  const git = { algorithm: 'git-sha1', hex: '215742ed65882427f83d84a44bcd3c09fa750658' } as const
  const all = files.map((file) => (file.path === 'd.bin' ? { ...file, digest: git } : file))
  await writeLock(bundle.folder, {
    formatVersion: 1,
    bundle: 'tiny',
    sources: sourcesDigest(bundle.manifest.sources),
    files: all,
  })
  return { bundle, [Symbol.asyncDispose]: () => places[Symbol.asyncDispose]() }
}

test('whole files have no problem, and progress ends at the last byte', async () => {
  await using at = await locked()
  const seen: VerifyProgress[] = []
  expect(await verifyBundle(at.bundle, { onProgress: (progress) => seen.push(progress) })).toEqual([])
  expect(seen.at(-1)).toEqual({ file: 'd.bin', bytes: 64, totalBytes: 64, filesDone: 4, files: 4 })
})

test('every problem is reported, each with what was found and what should be', async () => {
  await using at = await locked()
  await rm(join(at.bundle.folder, 'a.bin'))
  await writeFile(join(at.bundle.folder, 'b.bin'), 'short')
  await writeFile(join(at.bundle.folder, 'c.bin'), 'Content of c.bin')
  expect(await verifyBundle(at.bundle)).toEqual([
    { file: 'a.bin', kind: 'missing', detail: 'a.bin is missing.' },
    { file: 'b.bin', kind: 'wrong size', detail: 'b.bin has 5 bytes; it should have 16.' },
    {
      file: 'c.bin',
      kind: 'wrong checksum',
      detail: expect.stringMatching(/^c\.bin has the sha256 [0-9a-f]{64}; it should have [0-9a-f]{64}\.$/),
    },
  ])
})

test('without a lock there is nothing to check against; a damaged one says how to go on', async () => {
  await using at = await locked()
  await writeFile(
    join(at.bundle.folder, 'bundle.lock.json'),
    '{"formatVersion":1,"bundle":"tiny","sources":"00","files":[]}',
  )
  await expect(verifyBundle(at.bundle)).rejects.toThrow(
    /sources is "00"; allowed: 64 hexadecimal digits\. Remove it and pull again/,
  )
  await rm(join(at.bundle.folder, 'bundle.lock.json'))
  await expect(verifyBundle(at.bundle)).rejects.toThrow(/has no bundle\.lock\.json to check against/)
})

test('a check can be stopped', async () => {
  await using at = await locked()
  await expect(verifyBundle(at.bundle, { signal: AbortSignal.abort() })).rejects.toMatchObject({ fault: 'aborted' })
})
