import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import sharp from 'sharp'
import { openBundle } from '../lib/bundles/bundles.ts'
import { defaultBundle } from '../lib/bundles/default-bundle.ts'
import { createNetworkPool } from '../lib/runtime/pool.ts'
import { openSafety } from './open.ts'

// The bundle that comes along, on icons that its detector has not learned from.

const pool = createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 2 ** 28 })
afterAll(() => pool.dispose())

const { icons } = JSON.parse(
  readFileSync(createRequire(import.meta.url).resolve('@iconify-json/fluent-emoji/icons.json'), 'utf8'),
) as { readonly icons: Readonly<Record<string, { readonly body: string }>> }
const side = 256

/** Before a plain wall, and where it is. */
async function photoOf(icon: string) {
  const svg = (wall: string) =>
    Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="${side}" height="${side}" viewBox="-8 -9 48 48">
      ${wall}${icons[icon]!.body}</svg>`)
  const photo = await sharp(svg('<rect x="-8" y="-9" width="48" height="48" fill="#e6e2da"/>'))
    .removeAlpha()
    .raw()
    .toBuffer()
  const alpha = await sharp(svg('')).extractChannel('alpha').raw().toBuffer()
  const size = { widthPx: side, heightPx: side }
  return { reference: { ...size, pixels: photo, alpha: null }, mask: { ...size, pixels: alpha } }
}

test('persons of all skin tones are no subjects, whatever they are called; things are', async () => {
  const { safety, judges } = await openSafety(await openBundle(defaultBundle), pool)
  expect(judges).toEqual(['words', 'person-detector'])
  const decide = async (icon: string) =>
    (await safety.reviewSubject({ ...(await photoOf(icon)), label: 'lamp' })).decision
  const persons = ['child', 'detective', 'princess', 'man-white-hair', 'woman-white-hair', 'person-vampire'].flatMap(
    (role) => ['', '-light', '-medium-light', '-medium', '-medium-dark', '-dark'].map((tone) => `${role}${tone}`),
  )
  const missed = []
  for (const icon of persons) if ((await decide(icon)) !== 'REJECTED_PERSON') missed.push(icon)
  // All 36 are found; another processor rounds otherwise.
  expect(missed.length).toBeLessThanOrEqual(2)
  for (const icon of ['owl', 'motor-scooter', 'penguin', 'rocket', 'camel'])
    expect([icon, await decide(icon)]).toEqual([icon, 'ALLOWED'])
})
