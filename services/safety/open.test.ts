import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createToyBundle } from '../../test/toy-bundle.ts'
import { openBundle } from '../lib/bundles/bundles.ts'
import type { RgbImage } from '../lib/images/image.ts'
import { createNetworkPool } from '../lib/runtime/pool.ts'
import { writeRedDetector } from './eyes/test-eyes.ts'
import { openSafety } from './open.ts'

const toy = createToyBundle()
const pool = createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 2 ** 28 })
afterAll(async () => {
  await pool.dispose()
  toy[Symbol.dispose]()
})

const manifestFile = join(toy.folder, 'manifest.json')
const manifest = JSON.parse(readFileSync(manifestFile, 'utf8'))
const goldens = join(import.meta.dirname, '../../test/parity/data')
const checkerConfig = JSON.parse(readFileSync(join(goldens, 'safety-checker/config.json'), 'utf8'))

/** The toy bundle with these networks beside its own. */
async function bundleWith(networks: Record<string, unknown>) {
  writeFileSync(manifestFile, JSON.stringify({ ...manifest, networks: { ...manifest.networks, ...networks } }))
  return openBundle(toy.name, toy.places)
}

const detector = {
  config: { image_size: 64, num_labels: 2, person_labels: [0] },
  files: ['detector.onnx'],
  compute: 'float32',
}
const checker = { config: checkerConfig, files: ['checker.bin'], compute: 'float32' }

test('a bundle without eyes is judged by words, and its verdicts say so', async () => {
  const { safety, judges, networks } = await openSafety(await bundleWith({}), pool)
  expect(judges).toEqual(['words'])
  expect(networks).toEqual([])
  const { policyVersion } = await safety.reviewPrompt({ label: 'dog', prompt: '', negativePrompt: '' })
  expect(policyVersion).toBe('moma-4/words')
})

test('what is required and missing stops the start', async () => {
  await expect(openSafety(await bundleWith({}), pool, { require: ['words', 'person-detector'] })).rejects.toThrow(
    'MOMA_SAFETY_REQUIRE names person-detector; allowed: what there is, the bundle moma-test has words.',
  )
})

test('networks that the manifest names are run out of its files', async () => {
  writeRedDetector(join(toy.folder, 'detector.onnx'))
  copyFileSync(join(goldens, 'safety-checker/pytorch_model.bin'), join(toy.folder, 'checker.bin'))
  const bundle = await bundleWith({ personDetector: detector, safetyChecker: checker })
  const { safety, judges, networks } = await openSafety(bundle, pool, {
    require: ['person-detector', 'safety-checker'],
  })
  expect(judges).toEqual(['words', 'person-detector', 'safety-checker'])
  expect(networks.map(({ name }) => name)).toEqual(['person detector', 'safety checker'])
  const red = (level: number): RgbImage => ({
    widthPx: 64,
    heightPx: 64,
    pixels: Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i % 3 === 0 ? level : 0)),
    alpha: null,
  })
  const mask = { widthPx: 64, heightPx: 64, pixels: new Uint8Array(64 * 64).fill(255, 0, 64 * 40) }
  const person = await safety.reviewSubject({ reference: red(255), mask, label: 'vase' })
  expect(person).toMatchObject({
    decision: 'REJECTED_PERSON',
    policyVersion: 'moma-4/words+person-detector+safety-checker',
    findings: [{ detector: 'person-detector' }],
  })
  expect(await safety.reviewSubject({ reference: red(0), mask, label: 'vase' })).toMatchObject({ decision: 'ALLOWED' })
  const { findings } = await safety.reviewPicture({ picture: red(0), label: 'vase' })
  expect(findings.map((finding) => finding.detector).sort()).toEqual(['person-detector', 'safety-checker'])
})

test('a network that the manifest names and whose file is missing stops the start', async () => {
  const bundle = await bundleWith({ personDetector: { ...detector, files: ['nowhere.onnx'] } })
  await expect(openSafety(bundle, pool)).rejects.toThrow(/has no file nowhere\.onnx for personDetector/)
})

test('sentences that do not fit the text tower stop the start', async () => {
  const { clipVision } = manifest.networks
  await expect(openSafety(await bundleWith({ zeroShot: clipVision }), pool)).rejects.toThrow(
    /network zeroShot: it takes texts of 8 tokens, the bundle's tokenizer makes \d+$/,
  )
})

test.each([
  ['person_bias', '2', /network zeroShot: person_bias is "2", allowed is a number from -100 to 100$/],
  ['judges_pictures', 1, /network zeroShot: judges_pictures is 1, allowed is true or false$/],
])('a zero-shot %s that is none stops the start', async (field, value, message) => {
  const { clipVision } = manifest.networks
  const config = { ...clipVision.config, [field]: value }
  // Before the texts are looked at, which do not fit this one either.
  await expect(openSafety(await bundleWith({ zeroShot: { ...clipVision, config } }), pool)).rejects.toThrow(message)
})
