import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RgbImage } from '../../lib/images/image.ts'
import { modelFileRecipe } from '../../lib/runtime/model-file.ts'
import { createNetworkPool } from '../../lib/runtime/pool.ts'
import { createPersonDetector, readDetectorConfig } from './person-detector.ts'
import { writeRedDetector } from './test-eyes.ts'

const folder = mkdtempSync(join(tmpdir(), 'moma-detector-'))
const pool = createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 2 ** 28 })
afterAll(async () => {
  await pool.dispose()
  rmSync(folder, { recursive: true })
})

const config = readDetectorConfig({ image_size: 64, num_labels: 2, person_labels: [0] }, 'test')
const detectorOf = (name: string) => createPersonDetector(pool, modelFileRecipe(name, join(folder, name)), config)

/** Red on the left, grey elsewhere. */
function redOnTheLeft(widthPx: number, heightPx: number): RgbImage {
  const pixels = new Uint8Array(widthPx * heightPx * 3).fill(100)
  for (let i = 0; i < widthPx * heightPx; i++) if (i % widthPx < widthPx / 2) pixels.set([255, 0, 0], i * 3)
  return { widthPx, heightPx, pixels, alpha: null }
}

test('an ONNX file is run as it is, and its answer read by the contract', async () => {
  writeRedDetector(join(folder, 'red.onnx'))
  const people = await detectorOf('red.onnx').detect(redOnTheLeft(128, 96), 0.5)
  expect(people).toHaveLength(1)
  expect(people[0]).toMatchObject({ region: { left: 0, top: 0, width: 0.5, height: 1 } })
  expect(people[0]!.score).toBeGreaterThan(0.99)
  expect(pool.loadedBytes).toBeGreaterThan(0)
})

test.each([
  [2, 2],
  [2000, 16],
  [16, 1500],
])('a picture of %i × %i px', async (widthPx, heightPx) => {
  writeRedDetector(join(folder, 'red.onnx'))
  expect(await detectorOf('red.onnx').detect(redOnTheLeft(widthPx, heightPx), 0.5)).toHaveLength(1)
})

test('numbers that are none are an error, not an answer', async () => {
  writeRedDetector(join(folder, 'nan.onnx'), 64, 'nan')
  await expect(detectorOf('nan.onnx').detect(redOnTheLeft(64, 64), 0.5)).rejects.toThrow(
    'nan.onnx: logits holds numbers that are not finite',
  )
})

test('another contract, a file that is no network and one that is missing are errors', async () => {
  writeRedDetector(join(folder, 'red.onnx'))
  const others = createPersonDetector(pool, modelFileRecipe('coco', join(folder, 'red.onnx')), {
    ...config,
    classes: 80,
  })
  await expect(others.detect(redOnTheLeft(64, 64), 0.5)).rejects.toThrow(
    'coco: logits is [1, 2, 2], must be [1, queries, 80]',
  )
  writeFileSync(join(folder, 'text.onnx'), 'no network')
  await expect(detectorOf('text.onnx').detect(redOnTheLeft(64, 64), 0.5)).rejects.toThrow('text.onnx: ')
  await expect(detectorOf('none.onnx').detect(redOnTheLeft(64, 64), 0.5)).rejects.toThrow('ENOENT')
})

test('a config that is wrong is told', () => {
  expect(() => readDetectorConfig({ num_labels: 2, person_labels: [2] }, 'bundle')).toThrow(
    'bundle: person_labels is [2], allowed is a list of whole numbers from 0 to 1',
  )
  expect(readDetectorConfig({}, 'bundle')).toEqual({ imageSize: 640, classes: 80, personClasses: [0] })
})
