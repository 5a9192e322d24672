import { readMetadata } from '../../lib/images/encode.ts'
import type { RgbImage } from '../../lib/images/image.ts'
import { silentLogger } from '../../lib/mesh/log.ts'
import type { Verdict } from '../../safety/safety.ts'
import { createPreviews, type Shown } from './previews.ts'
import type { KeptAsset, NewAsset, PreviewKind } from './run-store.ts'
import { allowed, rejected } from './test-services.ts'

const size = { widthPx: 8, heightPx: 8 }
const picture: RgbImage = { ...size, pixels: new Uint8Array(8 * 8 * 3).fill(90), alpha: null }
const mask = { ...size, pixels: new Uint8Array(8 * 8).fill(255) }
const nothing: Shown = { preview: null, mask: null }

type Pictures = Readonly<Record<PreviewKind, NewAsset>>

/** Previews of every step, before a store that tells what it keeps; each is judged by the next of the verdicts. */
function watched(verdicts: readonly (() => Promise<Verdict>)[]) {
  const left = [...verdicts]
  const stop = new AbortController()
  const store = { kept: null as Pictures | null, drops: 0, isAway: false }
  const shown: Shown[] = []
  const previews = createPreviews({
    everySteps: 1,
    log: silentLogger,
    signal: stop.signal,
    judge: () => left.shift()!(),
    async keep(pictures) {
      store.kept = pictures
      const asset = ({ bytes, ...rest }: NewAsset): KeptAsset => ({ ...rest, token: 't', byteLength: bytes.length })
      return { preview: asset(pictures.preview), mask: asset(pictures.mask) }
    },
    async drop() {
      store.drops++
      if (store.isAway) throw new Error('the database is away')
      store.kept = null
    },
    // Whoever is told can look at once: what is not shown any more is gone by then.
    onChange: () => shown.push(previews.shown),
  })
  const offer = async () => {
    previews.offer(1, picture, mask)
    await previews.settled()
  }
  return { previews, store, shown, offer, stop }
}

const allows = async () => allowed
const rejects = async () => rejected('something bad')
const breaks = async () => Promise.reject(new Error('no verdict'))

test.each([
  ['rejected', rejects],
  ['not judged at all', breaks],
])('one that is allowed goes when the next is %s, for who watches and out of the store', async (_, next) => {
  const { previews, store, shown, offer } = watched([allows, next, next, allows])
  await offer()
  expect(store.kept).not.toBeNull()
  expect(previews.shown.preview).not.toBeNull()
  await offer()
  expect(store.kept).toBeNull()
  expect(previews.shown).toEqual(nothing)
  await offer()
  expect(store.drops).toBe(1)
  await offer()
  expect(store.kept).not.toBeNull()
  expect(shown.map(({ preview }) => preview !== null)).toEqual([true, false, true])
})

test('one that could not be dropped is not shown, and dropped with the next', async () => {
  const { previews, store, offer } = watched([allows, rejects, rejects])
  await offer()
  store.isAway = true
  await offer()
  expect(previews.shown).toEqual(nothing)
  store.isAway = false
  await offer()
  expect(store.kept).toBeNull()
})

test('where there never was one, or the attempt is over, nothing is dropped', async () => {
  const { store, offer } = watched([rejects, breaks])
  await offer()
  await offer()
  expect(store.drops).toBe(0)
  const ended = watched([allows, breaks])
  await ended.offer()
  ended.stop.abort()
  await ended.offer()
  expect(ended.store.drops).toBe(0)
})

test('what is kept says that it was generated', async () => {
  const { store, offer } = watched([allows])
  await offer()
  const { digitalSourceType, provenance } = await readMetadata(store.kept!.preview.bytes)
  expect(digitalSourceType).toContain('trainedAlgorithmicMedia')
  expect(provenance).toBeNull()
})
