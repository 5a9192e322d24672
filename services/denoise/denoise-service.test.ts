import { createToyBundle } from '../../test/toy-bundle.ts'
import { openBundle } from '../lib/bundles/bundles.ts'
import { subjectHash } from '../lib/content-cache.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import { denoiseContract } from '../lib/mesh/contracts.ts'
import type { DenoiseRequest } from '../lib/mesh/generated/moma/denoise/v1/DenoiseRequest.ts'
import { createMeshClient } from '../lib/mesh/grpc-client.ts'
import { createMeshServer, type MeshServer } from '../lib/mesh/grpc-server.ts'
import { networkReadiness } from '../lib/mesh/readiness.ts'
import { createSlots } from '../lib/mesh/slots.ts'
import { createNetworkPool, type NetworkPool } from '../lib/runtime/pool.ts'
import { floatTensor } from '../lib/runtime/tensor.ts'
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts'
import { createDrawingClient, type DrawingClient } from './client.ts'
import type { DrawingEvent, DrawingOptions, DrawingRequest } from './drawing.ts'
import { type OpenedDrawing, openDrawing } from './open.ts'
import { requestMessage } from './request-message.ts'
import { createDenoiseServer } from './server.ts'

// The toy networks behind real gRPC on loopback.
const sidePx = 64
const toy = createToyBundle()
const slots = createSlots('denoise', { slots: 1, queue: 4 })
let pool: NetworkPool
let opened: OpenedDrawing
let server: MeshServer
let client: DrawingClient
let raw: ReturnType<typeof createMeshClient<typeof denoiseContract.definition>>
let request: DrawingRequest

beforeAll(async () => {
  pool = createNetworkPool({ provider: 'cpu', threads: 2, memoryBytes: 2 ** 30 })
  opened = await openDrawing(await openBundle(toy.name, toy.places), pool)
  const readiness = networkReadiness(pool, opened.networks)
  server = createMeshServer({ services: [createDenoiseServer({ ...opened, slots, readiness })] })
  const addresses = [await server.listen({ host: '127.0.0.1', port: 0 })]
  client = createDrawingClient({ addresses, waitMs: 60_000 })
  raw = createMeshClient(denoiseContract, { addresses, deadlineMs: 60_000, waitMs: 60_000 })
  request = drawingRequest()
}, 60_000)

afterAll(async () => {
  client[Symbol.dispose]()
  raw.dispose()
  await server.dispose()
  await pool.dispose()
  toy[Symbol.dispose]()
})

function drawingRequest(): DrawingRequest {
  const size = { widthPx: sidePx, heightPx: sidePx }
  const mask: GreyImage = { ...size, pixels: new Uint8Array(sidePx ** 2).fill(255, 1000, 3000) }
  const reference: RgbImage = {
    ...size,
    pixels: Uint8Array.from({ length: sidePx ** 2 * 3 }, (_, i) => i % 251),
    alpha: null,
  }
  const embedding = Array.from({ length: opened.embeddingChannels }, (_, index) => Math.sin(index))
  return {
    subject: { reference, mask, label: 'teddy bear', contentHash: subjectHash(reference, mask) },
    contextEmbedding: floatTensor([1, opened.embeddingChannels], embedding),
    adapter: 'moma',
    prompt: 'a teddy bear on a beach',
    negativePrompt: '',
    settings: { sampler: 'unipc', steps: 4, guidance: 7.5, strength: 1.1, contextScale: 0.6, masking: true },
    seed: 2 ** 40,
    count: 2,
  }
}

const draw = (options: DrawingOptions = {}, from: { draw: DrawingClient['draw'] } = client) =>
  Array.fromAsync(from.draw(request, options))
const picturesOf = (events: readonly DrawingEvent[]) =>
  events.flatMap((event) => (event.kind === 'image' ? [Buffer.from(event.image.pixels).toString('base64')] : []))
const checkpointsOf = (events: readonly DrawingEvent[]) =>
  events.flatMap((event) => (event.kind === 'checkpoint' ? [event.state] : []))

test('it draws what the same networks draw in this process, and tells the same on the way', async () => {
  const options = { checkpointEverySteps: 2, decodePreviewEverySteps: 3 }
  const here = await draw(options, opened.drawing)
  const there = await draw(options)
  expect(there).toEqual(here)
  expect(there.map(({ kind }) => kind)).toEqual([
    ...['step', 'step', 'checkpoint', 'step', 'step', 'checkpoint'],
    ...['image', 'image'],
  ])
  const previews = there.flatMap((event) =>
    event.kind === 'step' ? [[event.previewKind, event.previews[1]!.widthPx]] : [],
  )
  const small = ['latents', 8]
  expect(previews).toEqual([small, small, ['decoded', sidePx], small])
  expect(there.flatMap((event) => (event.kind === 'image' ? [event.seed] : []))).toEqual([2 ** 40, 2 ** 40 + 1])
}, 60_000)

test('from every checkpoint, kept as bytes, it ends in the same pictures', async () => {
  const whole = await draw({ checkpointEverySteps: 1 })
  const shape = { steps: 4, count: 2, channels: opened.latentChannels, heightPx: 8, widthPx: 8 }
  for (const state of checkpointsOf(whole)) {
    const resumed = await draw({ resume: decodeCheckpoint(encodeCheckpoint(state), shape) })
    expect(picturesOf(resumed)).toEqual(picturesOf(whole))
    expect(resumed.filter(({ kind }) => kind === 'step')).toHaveLength(4 - state.step)
  }
}, 60_000)

test('a cancelled call gives its slot back after the running step', async () => {
  const stop = new AbortController()
  const steps: number[] = []
  const cancelled = (async () => {
    for await (const event of client.draw(
      { ...request, settings: { ...request.settings, steps: 900 } },
      { signal: stop.signal },
    )) {
      if (event.kind === 'step') steps.push(event.step)
      if (steps.length === 2) stop.abort(new Error('no longer wanted'))
    }
  })()
  await expect(cancelled).rejects.toThrow('no longer wanted')
  expect(steps).toEqual([1, 2])
  // There is one slot: this waits for it.
  expect(picturesOf(await draw())).toHaveLength(2)
  expect(slots.busy).toBe(0)
}, 60_000)

describe('bad input is said by its field', () => {
  const cases: [string, (message: DenoiseRequest) => DenoiseRequest, string][] = [
    ['no subject', (m) => ({ ...m, subject: null }), 'subject is "missing", allowed is a subject'],
    [
      'another hash',
      (m) => ({ ...m, subject: { ...m.subject, contentHash: 'x' } }),
      'subject.content_hash is "x", allowed is the photo\'s and mask\'s',
    ],
    [
      'an embedding of other channels',
      (m) => ({ ...m, contextEmbedding: { dataType: 'DATA_TYPE_FLOAT32', shape: [1, 3], data: Buffer.alloc(12) } }),
      'context_embedding.shape is "[1, 3]", allowed is [1, ',
    ],
    [
      'no adapter',
      (m) => ({ ...m, adapter: 'ADAPTER_UNSPECIFIED' }),
      'adapter is "ADAPTER_UNSPECIFIED", allowed is ADAPTER_MOMA, ADAPTER_IP_ADAPTER',
    ],
    [
      'no sampler',
      (m) => ({ ...m, sampler: 'SAMPLER_UNSPECIFIED' }),
      'sampler is "SAMPLER_UNSPECIFIED", allowed is SAMPLER_DDIM',
    ],
    ['too many steps', (m) => ({ ...m, steps: 999 }), 'steps is 999, allowed is a whole number from 1 to 998'],
    ['too much guidance', (m) => ({ ...m, guidance: 31 }), 'guidance is 31, allowed is a number from 1 to 30'],
    [
      'a strength that is no number',
      (m) => ({ ...m, strength: Number.NaN }),
      'strength is NaN, allowed is a number from 0 to 1.2',
    ],
    ['no pictures', (m) => ({ ...m, count: 0 }), 'count is 0, allowed is a whole number from 1 to 8'],
    [
      'a prompt that is too long',
      (m) => ({ ...m, prompt: 'x'.repeat(10_001) }),
      'prompt: prompt has 10001 characters; at most 10000 are allowed',
    ],
    [
      'a checkpoint beyond the end',
      (m) => ({ ...m, resume: { step: 5 } }),
      'resume.step is 5, allowed is a whole number from 0 to 4',
    ],
    [
      'a checkpoint of other pictures',
      (m) => ({
        ...m,
        resume: { step: 1, latents: { dataType: 'DATA_TYPE_FLOAT32', shape: [1, 4, 8, 8], data: Buffer.alloc(1024) } },
      }),
      'resume.latents.shape is "[1, 4, 8, 8]", allowed is [2, ',
    ],
    [
      'a label that is not in the text',
      (m) => ({ ...m, subject: { ...m.subject, label: `bear ${'x'.repeat(90)}` } }),
      'is not among the first 77 tokens',
    ],
  ]
  test.each(cases)(
    '%s',
    async (_, change, message) => {
      const sent = change(requestMessage(request, {}))
      await expect(Array.fromAsync(raw.serverStream('Denoise', sent))).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining(message),
      })
    },
    30_000,
  )

  test('a sampler state that the sampler does not know', async () => {
    const [state] = checkpointsOf(await draw({ checkpointEverySteps: 2 }))
    await expect(draw({ resume: { ...state!, sampler: {} } })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  }, 30_000)
})
