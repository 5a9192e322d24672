import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { downloadFile } from '@huggingface/hub'
import { type Bundle, listBundles, openBundle } from '../../services/lib/bundles/bundles.ts'
import type { BundleFault } from '../../services/lib/bundles/errors.ts'
import type { Hub } from '../../services/lib/bundles/hub.ts'
import { type PullOptions, type PullProgress, type PullReport, pullBundle } from '../../services/lib/bundles/pull.ts'
import { verifyBundle } from '../../services/lib/bundles/verify.ts'
import { manifestOf, placesWith, type TemporaryPlaces, wayTo } from './bundle.ts'
import { type Fault, type LocalHub, lfs, sha256, small, startHub } from './server.ts'

const commits = { first: 'a'.repeat(40), second: 'b'.repeat(40) }
const weights = randomBytes(3_000_000)
const shards = [randomBytes(200_000), randomBytes(150_000)] as const

const sources = [
  {
    repository: 'lab/net',
    revision: 'main',
    licence: 'free',
    files: [{ from: 'deep/weights.bin', to: 'unet/model.safetensors' }],
  },
  {
    repository: 'lab/llava',
    revision: 'main',
    licence: 'free',
    files: [
      {
        anyOf: [
          ['model-*-of-*.safetensors', 'model.safetensors.index.json'],
          ['pytorch_model-*-of-*.bin', 'pytorch_model.bin.index.json'],
        ],
        to: 'llava',
      },
    ],
  },
]

const llava = {
  'config.json': small('{}'),
  // Neither of these is wanted: a shard without its index, and a file in a folder below.
  'model-00001-of-00001.safetensors': lfs(randomBytes(10)),
  'pytorch_model-00003/part-of-1.bin': lfs(randomBytes(10)),
  'pytorch_model-00001-of-00002.bin': lfs(shards[0]),
  'pytorch_model-00002-of-00002.bin': lfs(shards[1]),
  'pytorch_model.bin.index.json': small('{"weight_map":{}}'),
}

interface Scene extends AsyncDisposable {
  readonly server: LocalHub
  readonly places: TemporaryPlaces
  readonly bundle: Bundle
}

async function scene(): Promise<Scene> {
  const server = await startHub()
  server.repositories.set('lab/net', {
    commit: commits.first,
    files: { 'deep/weights.bin': lfs(weights), 'README.md': small('net') },
  })
  server.repositories.set('lab/llava', { commit: commits.first, files: llava })
  const places = await placesWith(manifestOf({ sources }))
  const bundle = await openBundle('tiny', places)
  const dispose = async () => {
    await server[Symbol.asyncDispose]()
    await places[Symbol.asyncDispose]()
  }
  return { server, places, bundle, [Symbol.asyncDispose]: dispose }
}

/** Only the large file of `lab/net`, for the tests of a single download. */
async function oneFile(): Promise<Scene> {
  const all = await scene()
  await writeFile(
    join(all.places.manifests, 'tiny', 'manifest.json'),
    JSON.stringify(manifestOf({ sources: sources.slice(0, 1) })),
  )
  return {
    ...all,
    bundle: await openBundle('tiny', all.places),
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  }
}

/** Pulls the scene's bundle from its hub, and lets the hub know how far the client is. */
function pull({ bundle, server }: Scene, hub: Partial<Hub> = {}, options: PullOptions = {}): Promise<PullReport> {
  const onProgress = (progress: PullProgress) => {
    server.clientBytes = progress.fileBytes
    options.onProgress?.(progress)
  }
  return pullBundle(bundle, { ...options, hub: wayTo(server, hub), onProgress })
}

const failure = (fault: BundleFault, message: RegExp) =>
  expect.objectContaining({ fault, message: expect.stringMatching(message) })
const cdnRequests = (server: LocalHub) => server.requests.filter((request) => request.server === 'cdn')
const faultsFor = (server: LocalHub, ...faults: Fault[]) => server.faults.set('deep/weights.bin', faults)
/** Buffers are compared as a whole: jest would walk through three million elements. */
const holds = async (file: string, content: Buffer) => (await readFile(file)).equals(content)
const target = (bundle: Bundle) => join(bundle.folder, 'unet/model.safetensors')

test('the local hub is read by the hub client itself, redirect and checksums included', async () => {
  await using at = await scene()
  const blob = await downloadFile({ repo: 'lab/net', path: 'deep/weights.bin', hubUrl: at.server.url })
  expect(sha256(Buffer.from((await blob?.arrayBuffer()) ?? new ArrayBuffer(0)))).toBe(sha256(weights))
})

test('a pull fetches every file, writes the lock, and reports progress to the last byte', async () => {
  await using at = await scene()
  const seen: PullProgress[] = []
  const report = await pull(at, {}, { onProgress: (progress) => seen.push(progress) })

  const files = [
    'llava/pytorch_model-00001-of-00002.bin',
    'llava/pytorch_model-00002-of-00002.bin',
    'llava/pytorch_model.bin.index.json',
  ]
  const totalBytes = weights.length + shards[0].length + shards[1].length + 17
  expect(report).toEqual({ folder: at.bundle.folder, files: 4, totalBytes, transferredBytes: totalBytes })
  expect(await holds(target(at.bundle), weights)).toBe(true)
  expect(await holds(join(at.bundle.folder, files[0] ?? ''), shards[0])).toBe(true)
  expect((await readdir(join(at.bundle.folder, 'llava'))).sort()).toEqual(
    files.map((file) => file.slice('llava/'.length)),
  )
  expect(seen.at(-1)).toMatchObject({ bytes: totalBytes, totalBytes, filesDone: 4, files: 4 })
  expect(seen.every((progress, index) => progress.bytes >= (seen[index - 1]?.bytes ?? 0))).toBe(true)

  const lock: unknown = JSON.parse(await readFile(join(at.bundle.folder, 'bundle.lock.json'), 'utf8'))
  expect(lock).toMatchObject({
    bundle: 'tiny',
    files: [
      {
        path: 'unet/model.safetensors',
        sizeBytes: weights.length,
        digest: { algorithm: 'sha256', hex: sha256(weights) },
        origin: { repository: 'lab/net', commit: commits.first, path: 'deep/weights.bin' },
      },
      { path: files[0] },
      { path: files[1] },
      { path: files[2], digest: { algorithm: 'git-sha1' } },
    ],
  })
  expect(await verifyBundle(at.bundle)).toEqual([])
  expect((await listBundles(at.places))[0]?.state).toEqual({ kind: 'ready' })
})

test('after a whole pull nothing touches the network', async () => {
  await using at = await scene()
  await pull(at)
  await at.server[Symbol.asyncDispose]()
  expect(await pull(at)).toMatchObject({ files: 4, transferredBytes: 0 })
  expect(await verifyBundle(at.bundle)).toEqual([])
})

test('what only measuring needs is fetched when asked for, and kept by later pulls', async () => {
  await using at = await scene()
  const dino = randomBytes(5000)
  at.server.repositories.set('lab/dino', { commit: commits.first, files: { 'dino.bin': lfs(dino) } })
  const measuring = {
    repository: 'lab/dino',
    revision: 'main',
    licence: 'free',
    only: 'metrics',
    files: [{ from: 'dino.bin', to: 'metrics/dino.bin' }],
  }
  await writeFile(
    join(at.places.manifests, 'tiny', 'manifest.json'),
    JSON.stringify(manifestOf({ sources: [...sources, measuring] })),
  )
  const bundle = await openBundle('tiny', at.places)
  const measured = { ...at, bundle }
  const state = async () => (await listBundles(at.places))[0]?.state.kind

  await pull(measured)
  expect(await readdir(bundle.folder)).not.toContain('metrics')
  expect(await state()).toBe('ready')
  expect(await pull(measured, {}, { metrics: true })).toMatchObject({ transferredBytes: dino.length })
  expect(await holds(join(bundle.folder, 'metrics/dino.bin'), dino)).toBe(true)
  expect(await state()).toBe('ready')

  at.server.repositories.set('lab/net', { commit: commits.second, files: { 'deep/weights.bin': lfs(weights) } })
  await rm(target(bundle))
  await pull(measured)
  expect(await holds(join(bundle.folder, 'metrics/dino.bin'), dino)).toBe(true)
})

test('a connection cut half-way is taken up where it ended, and no byte is fetched twice', async () => {
  await using at = await oneFile()
  faultsFor(at.server, { kind: 'cut', afterBytes: 1_500_000 }, { kind: 'cut', afterBytes: 700_000 })
  const report = await pull(at)

  expect(report.transferredBytes).toBe(weights.length)
  expect(cdnRequests(at.server).map(({ range, status, bytesSent }) => ({ range, status, bytesSent }))).toEqual([
    { range: undefined, status: 200, bytesSent: 1_500_000 },
    { range: 'bytes=1500000-', status: 206, bytesSent: 700_000 },
    { range: 'bytes=2200000-', status: 206, bytesSent: 800_000 },
  ])
  expect(cdnRequests(at.server)[1]?.ifRange).toMatch(/^"[0-9a-f]{32}"$/)
  expect(await holds(target(at.bundle), weights)).toBe(true)
  expect(await readdir(join(at.bundle.folder, 'unet'))).toEqual(['model.safetensors'])
})

test('cuts that bring nothing are given up after the attempts allowed, and the next pull goes on', async () => {
  await using at = await oneFile()
  const nothing: Fault = { kind: 'cut', afterBytes: 0 }
  faultsFor(at.server, { kind: 'cut', afterBytes: 1_200_000 }, nothing, nothing, nothing, nothing)
  await expect(pull(at)).rejects.toEqual(failure('network', /unet\/model\.safetensors/))
  expect(cdnRequests(at.server)).toHaveLength(4)
  expect((await listBundles(at.places))[0]?.state.kind).toBe('not pulled')

  at.server.faults.clear()
  expect(await pull(at)).toMatchObject({
    transferredBytes: weights.length - 1_200_000,
  })
  expect(cdnRequests(at.server).at(-1)?.range).toBe('bytes=1200000-')
})

test('cuts after a good piece do not use up the attempts', async () => {
  await using at = await oneFile()
  faultsFor(at.server, { kind: 'cut', afterBytes: 1_100_000 }, { kind: 'cut', afterBytes: 1_100_000 })
  const report = await pull(at, { retry: { attempts: 2, baseDelayMs: 1, maxDelayMs: 1 } })
  expect(report.transferredBytes).toBe(weights.length)
})

test('a connection that brings nothing more counts as cut; a slow one does not', async () => {
  await using at = await oneFile()
  faultsFor(at.server, { kind: 'stall', afterBytes: 1_000_000 }, { kind: 'trickle', pieceBytes: 200_000, delayMs: 60 })
  const began = performance.now()
  await pull(at, { idleTimeoutMs: 500 })
  // Ten pieces of 60 ms: longer than the idle timeout as a whole, shorter in each pause.
  expect(performance.now() - began).toBeGreaterThan(1000)
  expect(cdnRequests(at.server).map(({ range }) => range)).toEqual([undefined, 'bytes=1000000-'])
  expect(await holds(target(at.bundle), weights)).toBe(true)
})

test('a busy server is asked again after the time it wishes', async () => {
  await using at = await oneFile()
  faultsFor(at.server, { kind: 'status', status: 503, retryAfterSeconds: 1 })
  const began = performance.now()
  // The wish counts up to four of the longest waits.
  await pull(at, { retry: { attempts: 2, baseDelayMs: 1, maxDelayMs: 50 } })
  expect(performance.now() - began).toBeGreaterThan(190)
  expect(await holds(target(at.bundle), weights)).toBe(true)
})

test('wrong bytes are an error that names both checksums, and leave no file behind', async () => {
  await using at = await oneFile()
  const wrong = Buffer.from(weights)
  wrong.writeUInt8(wrong.readUInt8(1000) ^ 1, 1000)
  faultsFor(at.server, { kind: 'other content', content: wrong })
  await expect(pull(at)).rejects.toEqual(
    failure('checksum', new RegExp(`unet/model.safetensors .*${sha256(wrong)}.*${sha256(weights)}`)),
  )
  expect(await readdir(join(at.bundle.folder, 'unet'))).toEqual([])
})

test('a server that sends more than it listed is stopped', async () => {
  await using at = await oneFile()
  faultsFor(at.server, { kind: 'other content', content: Buffer.concat([weights, weights]) })
  await expect(pull(at)).rejects.toEqual(failure('checksum', /more than the 3000000 bytes/))
  expect(await readdir(join(at.bundle.folder, 'unet'))).toEqual([])
})

test('a server that ignores the range starts the file over', async () => {
  await using at = await oneFile()
  faultsFor(at.server, { kind: 'cut', afterBytes: 1_500_000 }, { kind: 'ignore range' })
  const bytes: number[] = []
  const report = await pull(at, {}, { onProgress: (progress) => bytes.push(progress.bytes) })
  expect(report.transferredBytes).toBe(1_500_000 + weights.length)
  expect(bytes.slice(bytes.indexOf(1_500_000)).includes(0)).toBe(true)
  expect(await holds(target(at.bundle), weights)).toBe(true)
})

test('a file that changed on the server while it was fetched is not glued together', async () => {
  await using at = await oneFile()
  const newer = randomBytes(weights.length)
  faultsFor(at.server, { kind: 'cut', afterBytes: 1_500_000 }, { kind: 'other content', content: newer })
  await expect(pull(at)).rejects.toEqual(failure('checksum', new RegExp(sha256(newer))))
  // If-Range made the server send the whole new file: what was held against the listing is that file, not a mixture.
  expect(cdnRequests(at.server)[1]).toMatchObject({ range: 'bytes=1500000-', status: 200 })
})

test('a new commit between two pulls drops the part of the old file and keeps what did not change', async () => {
  await using at = await scene()
  faultsFor(at.server, { kind: 'cut', afterBytes: 1_500_000 })
  const once = { attempts: 1, baseDelayMs: 1, maxDelayMs: 1 }
  await expect(pull(at, { retry: once })).rejects.toEqual(failure('network', /./))
  const newer = randomBytes(weights.length)
  at.server.repositories.set('lab/net', { commit: commits.second, files: { 'deep/weights.bin': lfs(newer) } })
  await mkdir(join(at.bundle.folder, 'llava'))
  await writeFile(join(at.bundle.folder, 'llava/pytorch_model-00001-of-00002.bin'), shards[0])

  const report = await pull(at)
  expect(cdnRequests(at.server)[1]?.range).toBeUndefined()
  expect(report.transferredBytes).toBe(newer.length + shards[1].length + 17)
  expect(await holds(target(at.bundle), newer)).toBe(true)

  at.server.repositories.set('lab/net', { commit: commits.first, files: { 'deep/weights.bin': lfs(weights) } })
  expect((await pull(at)).transferredBytes).toBe(0)
  await rm(join(at.bundle.folder, 'llava/pytorch_model.bin.index.json'))
  expect((await pull(at)).transferredBytes).toBe(weights.length + 17)
  expect(await holds(target(at.bundle), weights)).toBe(true)
})

test('a gated repository says which one, and that HF_TOKEN is needed; with the token it is read', async () => {
  await using at = await oneFile()
  const gated = { commit: commits.first, files: { 'deep/weights.bin': lfs(weights) }, token: 'hf_right' }
  at.server.repositories.set('lab/net', gated)
  await expect(pull(at)).rejects.toEqual(failure('access', /lab\/net .*401.*HF_TOKEN/))
  await expect(pull(at, { token: 'hf_wrong' })).rejects.toEqual(
    failure('access', /lab\/net .*The token in HF_TOKEN has no access/),
  )
  expect(at.server.requests).toHaveLength(2)

  await pull(at, { token: 'hf_right' })
  expect(at.server.requests.at(-2)).toMatchObject({ server: 'hub', authorization: 'Bearer hf_right' })
  expect(at.server.requests.at(-1)).toMatchObject({ server: 'cdn', authorization: undefined })
})

test('too little disk is found before anything is fetched, counting what is there already', async () => {
  await using at = await oneFile()
  faultsFor(at.server, { kind: 'cut', afterBytes: 1_500_000 })
  const once = { attempts: 1, baseDelayMs: 1, maxDelayMs: 1 }
  await expect(pull(at, { retry: once })).rejects.toEqual(failure('network', /./))
  const before = at.server.requests.length

  const short = pull(at, {}, { freeBytes: async () => 1_499_999 })
  await expect(short).rejects.toEqual(failure('disk', /1500000 bytes.*1499999 bytes/))
  expect(at.server.requests).toHaveLength(before)
  await pull(at, {}, { freeBytes: async () => 1_500_000 })
  expect(await holds(target(at.bundle), weights)).toBe(true)
})

test('a stopped pull keeps its part and goes on from there', async () => {
  await using at = await oneFile()
  faultsFor(at.server, { kind: 'trickle', pieceBytes: 300_000, delayMs: 20 })
  const stop = new AbortController()
  const onProgress = ({ fileBytes }: PullProgress) => {
    if (fileBytes >= 900_000) stop.abort()
  }
  await expect(pull(at, { signal: stop.signal }, { onProgress })).rejects.toEqual(failure('aborted', /kept/))
  expect((await readdir(join(at.bundle.folder, 'unet'))).sort()).toEqual([
    'model.safetensors.part',
    'model.safetensors.part.json',
  ])
  expect(await readdir(at.bundle.folder)).not.toContain('.pulling')
  const kept = (await readFile(`${target(at.bundle)}.part`)).length
  expect(kept).toBeGreaterThanOrEqual(900_000)
  expect(kept).toBeLessThan(weights.length)

  const report = await pull(at)
  expect(cdnRequests(at.server).at(-1)?.range).toBe(`bytes=${kept}-`)
  expect(report.transferredBytes).toBe(weights.length - kept)
  expect(await holds(target(at.bundle), weights)).toBe(true)
})

test.each(['../x', 'a/../../x', '/etc/x', 'a\\..\\x', 'a//x', 'a/./x'])(
  'a listing with the path %j is refused whole',
  async (path) => {
    await using at = await oneFile()
    at.server.repositories.set('lab/net', {
      commit: commits.first,
      files: { 'deep/weights.bin': lfs(weights), [path]: small('x') },
    })
    await expect(pull(at)).rejects.toEqual(failure('unsafePath', /lab\/net/))
    expect(at.server.requests).toHaveLength(0)
  },
)

test('a name that not every file system can hold is refused where it is wanted, and no matter elsewhere', async () => {
  await using at = await oneFile()
  const files = { 'deep/weights.bin': lfs(weights), 'pictures/why?.png': small('x') }
  at.server.repositories.set('lab/net', { commit: commits.first, files })
  await pull(at)

  const anyOf = [['pictures/*.png']]
  const manifest = manifestOf({ sources: [{ ...sources[0], files: [{ anyOf, to: 'unet' }] }] })
  await writeFile(join(at.places.manifests, 'tiny', 'manifest.json'), JSON.stringify(manifest))
  const other = await openBundle('tiny', at.places)
  await expect(pull({ ...at, bundle: other })).rejects.toEqual(failure('unsafePath', /why\?\.png/))
})

test('what the sources do not have is named', async () => {
  await using at = await scene()
  at.server.repositories.set('lab/llava', { commit: commits.first, files: { 'config.json': small('{}') } })
  await expect(pull(at)).rejects.toEqual(
    failure('notFound', /lab\/llava .*has none of: model-\*-of-\*\.safetensors \+ .*, or pytorch_model/),
  )
  at.server.repositories.delete('lab/net')
  await expect(pull(at)).rejects.toEqual(failure('notFound', /lab\/net at main does not exist/))
})

test('a file that the manifest pins is refused before a byte of another is fetched', async () => {
  await using at = await scene()
  const pinned = {
    from: 'deep/weights.bin',
    to: 'unet/model.safetensors',
    sizeBytes: weights.length,
    sha256: '0'.repeat(64),
  }
  const manifest = manifestOf({ sources: [{ ...sources[0], files: [pinned] }] })
  await writeFile(join(at.places.manifests, 'tiny', 'manifest.json'), JSON.stringify(manifest))
  const bundle = await openBundle('tiny', at.places)
  await expect(pull({ ...at, bundle: bundle })).rejects.toEqual(failure('checksum', /the manifest allows only 000/))
  expect(at.server.requests).toHaveLength(0)
})

test('a hub that is not there is one sentence with its address', async () => {
  await using at = await oneFile()
  const nowhere = { url: 'http://127.0.0.1:9', retry: { attempts: 2, baseDelayMs: 1, maxDelayMs: 1 } }
  await expect(pull(at, nowhere)).rejects.toEqual(
    failure('network', /^http:\/\/127\.0\.0\.1:9 can't be reached for lab\/net/),
  )
})

type Write = (this: unknown, bytes: Uint8Array, offset: number, length: number, position: number) => Promise<unknown>

test('of a piece that the system does not take whole, nothing is left out', async () => {
  await using at = await oneFile()
  await using any = await open(at.places.manifests)
  const handles: { write: Write } = Object.getPrototypeOf(any)
  const { write } = handles
  handles.write = function (bytes, offset, length, position) {
    return write.call(this, bytes, offset, Math.min(length, 1000), position)
  }
  await pull(at).finally(() => {
    handles.write = write
  })
  expect(await holds(target(at.bundle), weights)).toBe(true)
})

test('two pulls into one folder do not mix; the guard of a dead process is taken over', async () => {
  await using at = await oneFile()
  faultsFor(at.server, { kind: 'trickle', pieceBytes: 500_000, delayMs: 20 })
  const first = pull(at)
  while (cdnRequests(at.server).length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  await expect(pull(at)).rejects.toEqual(failure('busy', new RegExp(`Process ${process.pid}`)))
  await first
  await writeFile(join(at.bundle.folder, '.pulling'), '4194305\n')
  await writeFile(target(at.bundle), 'damaged')
  await pull(at)
  expect(await holds(target(at.bundle), weights)).toBe(true)
})
