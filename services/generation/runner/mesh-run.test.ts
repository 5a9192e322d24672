import { setTimeout as sleep } from 'node:timers/promises'
import { hasNatsServer, startNatsServer } from '../../../test/nats.ts'
import { createToyBundle } from '../../../test/toy-bundle.ts'
import { createContextClient } from '../../context/client.ts'
import { openContext } from '../../context/open.ts'
import { createContextServer } from '../../context/server.ts'
import { createDrawingClient } from '../../denoise/client.ts'
import { openDrawing } from '../../denoise/open.ts'
import { createDenoiseServer } from '../../denoise/server.ts'
import { openBundle } from '../../lib/bundles/bundles.ts'
import { featureChannels } from '../../lib/bundles/weight-files.ts'
import type { Address } from '../../lib/mesh/address.ts'
import { createMemoryEvents } from '../../lib/mesh/events/memory-events.ts'
import { createNatsEvents } from '../../lib/mesh/events/nats-events.ts'
import { createMeshServer, type MeshServer } from '../../lib/mesh/grpc-server.ts'
import { createMemoryJobs } from '../../lib/mesh/jobs/memory-jobs.ts'
import { createNatsJobs } from '../../lib/mesh/jobs/nats-jobs.ts'
import { connectNats } from '../../lib/mesh/nats.ts'
import { alwaysReady } from '../../lib/mesh/readiness.ts'
import type { MeshService } from '../../lib/mesh/service.ts'
import { createSlots } from '../../lib/mesh/slots.ts'
import { createNetworkPool } from '../../lib/runtime/pool.ts'
import { createSafetyClient } from '../../safety/client.ts'
import { openSafety } from '../../safety/open.ts'
import { createSafetyServer } from '../../safety/server.ts'
import { createVisionClient } from '../../vision/client.ts'
import { openVision } from '../../vision/open.ts'
import { createVisionServer } from '../../vision/server.ts'
import { openLocalServices } from '../local-services.ts'
import { completeRequest } from '../request.ts'
import { createRunner, type RunnerOptions } from './runner.ts'
import { createTestRunStore, type TestRow } from './test-run-store.ts'
import { testSubject } from './test-services.ts'

// The toy networks behind real gRPC on loopback, jobs and events over NATS where there is a server.

const toy = createToyBundle()
const opened = new AsyncDisposableStack()
const bundle = await openBundle(toy.name, toy.places)
const { settings } = bundle.manifest
const pool = createNetworkPool({ provider: 'cpu', threads: 2, memoryBytes: 2 ** 30 })
opened.defer(() => toy[Symbol.dispose]())
opened.defer(() => pool.dispose())
afterAll(() => opened.disposeAsync())

const subject = testSubject()
const request = completeRequest({ prompt: 'a dog on a beach', seed: 5, count: 2, steps: 8 }, settings)
const bytesOf = ({ images }: TestRow) =>
  images.map(({ image, mask }) => Buffer.concat([image.bytes, mask.bytes]).toString('base64'))

async function serve(services: readonly MeshService[], port = 0): Promise<{ server: MeshServer; address: Address }> {
  const server = createMeshServer({ services })
  opened.defer(() => server.dispose())
  return { server, address: await server.listen({ host: '127.0.0.1', port }) }
}

const place = (name: string) => ({ slots: createSlots(name, { slots: 1, queue: 8 }), readiness: alwaysReady })

async function queues() {
  if (!hasNatsServer) return { jobs: opened.use(createMemoryJobs()), events: opened.use(createMemoryEvents()) }
  const server = opened.use(await startNatsServer())
  const nats = opened.use(await connectNats({ url: server.url }))
  return { jobs: opened.use(await createNatsJobs({ nats })), events: opened.use(await createNatsEvents({ nats })) }
}

test('however often runner and denoise service are killed, it ends in the bytes that one process draws', async () => {
  const { safety } = await openSafety(bundle, pool)
  const common = {
    bundle: { name: bundle.manifest.name, settings: { ...settings, sizePx: subject.reference.widthPx } },
  }
  const quick = { checkpointEverySteps: 2, retryMs: { first: 50, largest: 200 }, maxAttempts: 20 }

  // In one process.
  const alone = createTestRunStore(subject)
  const memory = { jobs: createMemoryJobs(), events: createMemoryEvents() }
  const local = createRunner({
    ...{ ...common, ...memory, store: alone, settings: quick },
    services: { ...(await openLocalServices(bundle, pool)), safety },
  })
  alone.add('g', request)
  await memory.jobs.add('g')
  const expected = await alone.ended('g')
  await local.dispose()
  expect(expected.reason).toBeNull()

  // In a mesh.
  const { drawing, ...channels } = await openDrawing(bundle, pool)
  const { vision } = await openVision(bundle, pool)
  const { context } = await openContext(bundle, pool)
  const { address: others } = await serve([
    createVisionServer({ vision, ...place('vision') }),
    createContextServer({ context, featureChannels: featureChannels(bundle), ...place('context') }),
    createSafetyServer({ safety, ...place('safety') }),
  ])
  const denoiseService = () => createDenoiseServer({ drawing, ...channels, ...place('denoise') })
  let denoise = await serve([denoiseService()])
  const at = { addresses: [others] }
  const services: RunnerOptions['services'] = {
    vision: opened.use(createVisionClient(at)),
    context: opened.use(createContextClient(at)),
    safety: opened.use(createSafetyClient(at)),
    drawing: opened.use(createDrawingClient({ addresses: [denoise.address], waitMs: 500 })),
  }
  const store = createTestRunStore(subject, 20)
  const { jobs, events } = await queues()
  const start = () => createRunner({ ...common, jobs, events, store, services, settings: { ...quick, drainMs: 0 } })
  const until = async (step: number) => {
    while (store.row('g').step < step && store.row('g').status !== 'SUCCEEDED') await sleep(2)
  }

  store.add('g', request)
  await jobs.add('g')
  let runner = start()
  await until(3)
  await denoise.server.dispose()
  await sleep(100)
  denoise = await serve([denoiseService()], denoise.address.port)
  await until(5)
  await runner.dispose()
  runner = start()
  await until(7)
  await denoise.server.dispose()
  denoise = await serve([denoiseService()], denoise.address.port)
  const row = await store.ended('g')
  await runner.dispose()

  expect(row).toMatchObject({ status: 'SUCCEEDED', reason: null })
  expect(row.attempt).toBeGreaterThan(3)
  expect(bytesOf(row)).toEqual(bytesOf(expected))
}, 120_000)
