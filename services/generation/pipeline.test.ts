import sharp from 'sharp'
import { readGolden, relativeError } from '../../test/parity/golden.ts'
import { createToyBundle } from '../../test/toy-bundle.ts'
import { openBundle } from '../lib/bundles/bundles.ts'
import { createContentCache } from '../lib/content-cache.ts'
import { createNetworkPool, type NetworkPool } from '../lib/runtime/pool.ts'
import { floatTensor } from '../lib/runtime/tensor.ts'
import { openLocalServices } from './local-services.ts'
import { createPipeline, featureBytes, type GenerationEvent, type Pipeline } from './pipeline.ts'
import { completeRequest, type GenerationRequest } from './request.ts'
import { readSubject, type Subject } from './subject.ts'

const golden = readGolden('moma')
const toy = createToyBundle()
const bundle = await openBundle(toy.name, toy.places)
const { settings } = bundle.manifest
const runs = new Map<string, number>()
let pool: NetworkPool
let pipeline: Pipeline
let subject: Subject

beforeAll(async () => {
  pool = countingPool(createNetworkPool({ provider: 'cpu', threads: 2, memoryBytes: 2 ** 30 }))
  const services = await openLocalServices(bundle, pool)
  pipeline = createPipeline(services, settings, createContentCache(2 ** 28, featureBytes))
  subject = await readSubject({ photo: await photo(), mask: await mask(), label: 'teddy bear' }, settings.sizePx, null)
})

afterAll(async () => {
  await pool.dispose()
  toy[Symbol.dispose]()
})

/** The golden's photo as a PNG file. */
async function photo(): Promise<Uint8Array> {
  const planes = golden.in('reference_image')
  const count = 128 * 128
  const pixels = Uint8Array.from({ length: 3 * count }, (_, index) =>
    Math.round((Number(planes.data[(index % 3) * count + Math.floor(index / 3)]) + 1) * 127.5),
  )
  return sharp(pixels, { raw: { width: 128, height: 128, channels: 3 } })
    .png()
    .toBuffer()
}

async function mask(): Promise<Uint8Array> {
  const pixels = Uint8Array.from(Array.from(golden.in('mask').data, Number), (share) => 255 * share)
  return sharp(pixels, { raw: { width: 128, height: 128, channels: 1 } })
    .png()
    .toBuffer()
}

/** Counts runs by network. */
function countingPool(inner: NetworkPool): NetworkPool {
  return {
    with: (recipe, use) => {
      runs.set(recipe.name, (runs.get(recipe.name) ?? 0) + 1)
      return inner.with(recipe, use)
    },
    get loaded() {
      return inner.loaded
    },
    get loadedBytes() {
      return inner.loadedBytes
    },
    prepare: (recipes) => inner.prepare(recipes),
    onLost: (listener) => inner.onLost(listener),
    dispose: () => inner.dispose(),
  }
}

async function generate(request: Partial<GenerationRequest>, options = {}): Promise<GenerationEvent[]> {
  const complete = completeRequest({ prompt: 'a teddy bear on a beach at sunset', seed: 7, ...request }, settings)
  return Array.fromAsync(pipeline.generate(subject, complete, options))
}

const imagesOf = (events: GenerationEvent[]) => events.filter((event) => event.kind === 'image')
const sideOf = ({ widthPx }: { widthPx: number }) => widthPx
const stepsOf = (events: GenerationEvent[]) => events.filter((event) => event.kind === 'step')
const statesOf = (events: GenerationEvent[]) =>
  events.filter((event) => event.kind === 'checkpoint').map(({ state }) => state)

test('from photo, mask and sentence to the picture that the reference draws, in fifty steps', async () => {
  const events = await generate({ steps: 50 })
  const [picture] = imagesOf(events)
  const expected = golden.out('image')
  const count = 128 * 128
  // Both in 0 … 255; the picture is rounded to whole levels.
  const planes = Array.from(
    { length: 3 * count },
    (_, index) => picture!.image.pixels[(index % count) * 3 + Math.floor(index / count)]!,
  )
  const levels = expected.data.map((value) => Math.min(Math.max((value / 2 + 0.5) * 255, 0), 255))
  expect(relativeError(floatTensor(expected.shape, planes), floatTensor(expected.shape, levels))).toBeLessThan(3e-3)
  expect(events.filter(({ kind }) => kind === 'stage').map((event) => ('stage' in event ? event.stage : ''))).toEqual([
    'VISION',
    'CONTEXT',
    'DENOISE',
    'DECODE',
  ])
  const steps = stepsOf(events)
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1))
  expect(steps[0]!.previews[0]).toMatchObject({ widthPx: 16, heightPx: 16 })
  expect(steps.at(-1)!.masks[0]!.pixels.some((level) => level > 0)).toBe(true)
}, 60_000)

test('a second prompt for the same subject skips all subject work', async () => {
  await generate({ steps: 1 })
  runs.clear()
  await generate({ steps: 1, prompt: 'a teddy bear in snow' })
  expect(Object.fromEntries(runs)).toEqual({
    'multimodal decoder': 1,
    'text encoder': 1,
    'UNet, conditions': 1,
    'UNet, step': 1,
    'VAE decoder': 1,
  })
  runs.clear()
  await generate({ steps: 1, prompt: 'a teddy bear in snow', seed: 8 })
  expect(runs.get('multimodal decoder')).toBeUndefined()
})

test('image k of a request is image 0 of the request with seed + k', async () => {
  const [, second] = imagesOf(await generate({ steps: 2, count: 2 }))
  const [alone] = imagesOf(await generate({ steps: 2, seed: 8 }))
  expect(second!.seed).toBe(8)
  // A batch of two sums in another order than one alone: a level at most.
  const largest = Math.max(...second!.image.pixels.map((level, index) => Math.abs(level - alone!.image.pixels[index]!)))
  expect(largest).toBeLessThanOrEqual(1)
})

test('a run goes on from a step to the same picture', async () => {
  const whole = await generate({ steps: 4 }, { checkpointEverySteps: 2 })
  const [checkpoint] = whole.filter((event) => event.kind === 'checkpoint')
  const resumed = await generate({ steps: 4 }, { resume: structuredClone(checkpoint!.state) })
  expect(stepsOf(resumed).map(({ step }) => step)).toEqual([3, 4])
  expect(Buffer.from(imagesOf(resumed)[0]!.image.pixels).equals(Buffer.from(imagesOf(whole)[0]!.image.pixels))).toBe(
    true,
  )
})

test('previews are decoded every n steps, which changes neither picture nor states, resumed or not', async () => {
  const plain = await generate({ steps: 5, count: 2 }, { checkpointEverySteps: 1 })
  const decoding = await generate({ steps: 5, count: 2 }, { checkpointEverySteps: 1, decodePreviewEverySteps: 2 })
  const resume = structuredClone(statesOf(decoding)[2]!)
  const resumed = await generate({ steps: 5, count: 2 }, { decodePreviewEverySteps: 1, resume })
  expect(stepsOf(plain).map(({ previewKind }) => previewKind)).toEqual(Array(5).fill('latents'))
  expect(stepsOf(decoding).map(({ previewKind, previews }) => [previewKind, ...previews.map(sideOf)])).toEqual([
    ['latents', 16, 16],
    ['decoded', 128, 128],
    ['latents', 16, 16],
    ['decoded', 128, 128],
    ['latents', 16, 16],
  ])
  expect(stepsOf(resumed).map(({ step, previewKind }) => [step, previewKind])).toEqual([
    [4, 'decoded'],
    [5, 'latents'],
  ])
  expect(statesOf(decoding)).toEqual(statesOf(plain))
  for (const events of [decoding, resumed]) expect(imagesOf(events)).toEqual(imagesOf(plain))
  // Each image has a preview of its own.
  const [one, other] = stepsOf(decoding)[1]!.previews
  expect(one!.pixels).not.toEqual(other!.pixels)
})

test.each([-1, 1.5, Number.NaN])('decoded previews every %d steps are refused', async (decodePreviewEverySteps) => {
  await expect(generate({ steps: 1 }, { decodePreviewEverySteps })).rejects.toThrow(
    `decodePreviewEverySteps is ${decodePreviewEverySteps}, allowed is a whole number from 0 to 1000`,
  )
})

test('baselines and ablations draw other pictures', async () => {
  const methods = ['moma', 'ip-adapter', 'no-mask', 'no-subject', 'no-mllm'] as const
  const pictures = new Set<string>()
  for (const method of methods) {
    const [picture] = imagesOf(await generate({ steps: 4, method }))
    pictures.add(Buffer.from(picture!.image.pixels).toString('base64'))
  }
  expect(pictures.size).toBe(methods.length)
})

test("an aborted generation stops with the signal's reason and no picture", async () => {
  const stop = new AbortController()
  const events: GenerationEvent[] = []
  const run = async () => {
    const complete = completeRequest({ prompt: 'a teddy bear', steps: 4 }, settings)
    for await (const event of pipeline.generate(subject, complete, { signal: stop.signal })) {
      events.push(event)
      if (event.kind === 'step') stop.abort()
    }
  }
  await expect(run()).rejects.toThrow('aborted')
  expect(stepsOf(events)).toHaveLength(1)
  expect(imagesOf(events)).toHaveLength(0)
})

test("the prompt's end that the text encoder does not see is reported", async () => {
  const long = `a teddy bear ${'in a very large green garden with spring flowers '.repeat(8)}and a red balloon`
  const [truncated] = (await generate({ steps: 1, prompt: long })).filter(({ kind }) => kind === 'truncated')
  expect(truncated).toMatchObject({ text: expect.stringContaining('balloon') })
})

describe('what is not allowed is said in one sentence', () => {
  test.each([
    [{ strength: 1.3 }, 'strength is 1.3, allowed is a number from 0 to 1.2'],
    [{ steps: 0 }, 'steps is 0, allowed is a whole number from 1 to 999'],
    [{ steps: 999, sampler: 'unipc' as const }, 'steps is 999, allowed is a whole number from 1 to 998'],
    [{ seed: -1 }, 'seed is -1, allowed is a whole number from 0 to '],
    [{ count: 9 }, 'count is 9, allowed is a whole number from 1 to 8'],
    [{ guidance: Number.NaN }, 'guidance is NaN, allowed is a number from 1 to 30'],
  ])('%j', (request, message) => {
    expect(() => completeRequest({ prompt: 'x', ...request }, settings)).toThrow(message)
  })

  test('a photo without mask, transparency or segmentation', async () => {
    const files = { photo: await photo(), mask: null, label: 'teddy bear' }
    await expect(readSubject(files, 128, null)).rejects.toThrow('give a mask that is white where the subject is')
  })

  test("a label that is not among the text's tokens", async () => {
    const other = { ...subject, label: `bear ${'x'.repeat(90)}` }
    const complete = completeRequest({ prompt: 'a teddy bear', steps: 1 }, settings)
    await expect(Array.fromAsync(pipeline.generate(other, complete))).rejects.toThrow(
      'is not among the first 77 tokens',
    )
  })
})
