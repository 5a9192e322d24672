import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { manifestOf, placesWith, type TemporaryPlaces } from '../../../test/hub/bundle.ts'
import { bundlePlaces, listBundles, networkFiles, openBundle } from './bundles.ts'
import { lockFiles, writeLock } from './lock.ts'
import { sourcesDigest } from './manifest.ts'

const files = [
  'vision/model.safetensors',
  'llava/model-1.safetensors',
  'llava/model-2.safetensors',
  'llava/tokenizer.model',
  'moma.th',
  'text/model.safetensors',
  'unet/model.safetensors',
  'vae/model.safetensors',
  'tokenizer/tokenizer.json',
]

async function fill(folder: string, paths: readonly string[] = files): Promise<void> {
  for (const path of paths) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), `content of ${path}`)
  }
}

const stateIn = async (places: TemporaryPlaces) => (await listBundles(places))[0]?.state

const source = { repository: 'lab/net', revision: 'main', licence: 'free', files: [{ from: 'a', to: 'a' }] }

test('a bundle whose files lie beside its manifest is read there', async () => {
  await using places = await placesWith(manifestOf())
  const folder = join(places.manifests, 'tiny')
  await fill(folder)
  expect(await listBundles(places)).toEqual([{ name: 'tiny', title: 'Tiny', path: folder, state: { kind: 'ready' } }])
  const bundle = await openBundle('tiny', places)
  expect(await networkFiles(bundle, 'decoder')).toEqual(
    ['llava/model-1.safetensors', 'llava/model-2.safetensors'].map((file) => join(folder, file)),
  )
})

test('a pulled bundle is looked for at the other place; missing files are counted', async () => {
  await using places = await placesWith(manifestOf({ sources: [source] }))
  const folder = join(places.files, 'tiny')
  expect(await stateIn(places)).toEqual({ kind: 'not pulled' })
  await fill(folder)
  expect(await stateIn(places)).toEqual({ kind: 'ready' })
  await rm(join(folder, 'moma.th'))
  await rm(join(folder, 'tokenizer/tokenizer.json'))
  // mapping, imageProjection and adapters read moma.th; eleven things are looked for: nine networks, two tokenizers
  expect(await stateIn(places)).toEqual({ kind: 'incomplete', missing: 4, files: 11 })
  const bundle = await openBundle('tiny', places)
  await expect(networkFiles(bundle, 'mapping')).rejects.toThrow(
    /no file moma\.th for mapping in .*moma models pull tiny/,
  )
  await expect(networkFiles(bundle, 'ipAdapter')).rejects.toThrow(
    /^The bundle tiny has no network ipAdapter; it has clipVision, /,
  )
})

test('a lock that belongs to the manifest decides, by presence and size; one of other sources does not', async () => {
  await using places = await placesWith(manifestOf({ sources: [source] }))
  const bundle = await openBundle('tiny', places)
  await fill(bundle.folder)
  const lock = {
    formatVersion: 1,
    bundle: 'tiny',
    sources: sourcesDigest(bundle.manifest.sources),
    files: await lockFiles(bundle.folder, files),
  } as const
  await writeLock(bundle.folder, lock)
  expect(await stateIn(places)).toEqual({ kind: 'ready' })
  await writeFile(join(bundle.folder, 'unet/model.safetensors'), 'short')
  expect(await stateIn(places)).toEqual({ kind: 'incomplete', missing: 1, files: 9 })
  await writeLock(bundle.folder, { ...lock, sources: '0'.repeat(64) })
  expect(await stateIn(places)).toEqual({ kind: 'ready' })
})

test('of several patterns the first that matches is taken, alone', async () => {
  const unet = { config: {}, files: ['unet/model.safetensors', 'unet/*.bin'], compute: 'float32' }
  const { networks } = manifestOf()
  await using places = await placesWith(manifestOf({ networks: { ...Object(networks), unet } }))
  const bundle = await openBundle('tiny', places)
  await fill(bundle.folder, ['unet/b.bin', 'unet/a.bin', 'unet/a.bin.part'])
  expect(await networkFiles(bundle, 'unet')).toEqual([
    join(bundle.folder, 'unet/a.bin'),
    join(bundle.folder, 'unet/b.bin'),
  ])
  await fill(bundle.folder, ['unet/model.safetensors'])
  expect(await networkFiles(bundle, 'unet')).toEqual([join(bundle.folder, 'unet/model.safetensors')])
})

test('damaged manifests and locks are listed with their reason and do not hide the others', async () => {
  await using places = await placesWith(manifestOf())
  await fill(join(places.manifests, 'tiny'))
  await mkdir(join(places.files, 'broken'), { recursive: true })
  await writeFile(join(places.files, 'broken/manifest.json'), '{')
  await mkdir(join(places.files, 'renamed'), { recursive: true })
  await writeFile(join(places.files, 'renamed/manifest.json'), JSON.stringify(manifestOf()))
  expect((await listBundles(places)).map(({ name, state }) => [name, state])).toEqual([
    ['broken', { kind: 'damaged', reason: expect.stringMatching(/broken\/manifest\.json is not JSON/) }],
    ['renamed', { kind: 'damaged', reason: expect.stringMatching(/name is "tiny"; allowed: "renamed"/) }],
    ['tiny', { kind: 'ready' }],
  ])
  await writeFile(join(places.manifests, 'tiny/bundle.lock.json'), '{"formatVersion":1}')
  expect(await stateIn(places)).toMatchObject({ kind: 'damaged' })
})

test('an unknown bundle is answered with the names there are', async () => {
  await using places = await placesWith(manifestOf())
  await expect(openBundle('large', places)).rejects.toThrow('The bundle is "large"; allowed: tiny.')
  await expect(openBundle('../tiny', places)).rejects.toThrow('The bundle is "../tiny"; allowed: tiny.')
})

test('MOMA_MODELS moves the pulled files', () => {
  expect(bundlePlaces({ MOMA_MODELS: '/data/models' }).files).toBe('/data/models')
  expect(bundlePlaces({}).files.endsWith('/.moma/models')).toBe(true)
})
