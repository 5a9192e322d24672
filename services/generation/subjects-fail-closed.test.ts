import { readdirSync } from 'node:fs'
import { createServer, connect as dial, type Socket } from 'node:net'
import type { Address } from '../lib/mesh/address.ts'
import { type Contract, safetyContract } from '../lib/mesh/contracts.ts'
import type { SafetyServiceHandlers } from '../lib/mesh/generated/moma/safety/v1/SafetyService.ts'
import { createMeshServer } from '../lib/mesh/grpc-server.ts'
import { alwaysReady } from '../lib/mesh/readiness.ts'
import { type Methods, meshService } from '../lib/mesh/service.ts'
import { createSafetyClient } from '../safety/client.ts'
import type { Safety } from '../safety/safety.ts'
import { verdictMessage } from '../safety/verdict-message.ts'
import { cutOutPhoto, type ServedWorld, serveWorld } from './test-server.ts'
import { allowed } from './test-world.ts'

// A safety service that breaks in the middle of a subject, over real gRPC on loopback.

type SafetyMethods = Methods<SafetyServiceHandlers>
type Gate = 'ReviewPrompt' | 'ReviewSubject'

const tenant = 'tenant'
const never = () => new Promise<never>(() => undefined)
const answer = async () => ({ verdict: verdictMessage(allowed) })

let world: ServedWorld
beforeAll(async () => {
  world = await serveWorld('pglite')
}, 60_000)
afterAll(() => world[Symbol.asyncDispose]())

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A safety service that allows everything but for these methods. */
async function serveSafety(methods: Partial<SafetyMethods>, contract: Contract = safetyContract): Promise<Address> {
  const all: SafetyMethods = { ReviewSubject: answer, ReviewPrompt: answer, ReviewPicture: answer, ...methods }
  const server = createMeshServer({ services: [meshService<SafetyServiceHandlers>(contract, all, alwaysReady)] })
  cleanups.push(() => server.dispose())
  return server.listen({ host: '127.0.0.1', port: 0 })
}

function clientOf(address: Address): Safety {
  const client = createSafetyClient({ addresses: [address], deadlineMs: 500, waitMs: 1000 })
  cleanups.push(() => client[Symbol.dispose]())
  return client
}

/** A way to an address that ends, with all that goes over it, when it is told to. */
async function breakableWay(to: Address) {
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = dial(to.port, to.host)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => undefined)
      one.on('close', () => other.destroy())
      one.pipe(other)
    }
  })
  const crash = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(crash)
  const { port } = server.address() as { port: number }
  return { address: { host: '127.0.0.1', port }, crash }
}

/** Bytes that are no message in the place of an answer. */
function noMessage(gate: Gate): Contract {
  const responseSerialize = () => Buffer.alloc(40, 255)
  const methods = Object.entries(safetyContract.definition).map(
    ([name, method]) => [name, name === gate ? { ...method, responseSerialize } : method] as const,
  )
  return { ...safetyContract, definition: Object.fromEntries(methods) }
}

const faults: readonly (readonly [string, (gate: Gate) => Promise<Safety>])[] = [
  ['never answers', async (gate) => clientOf(await serveSafety({ [gate]: never }))],
  [
    'dies in the middle of the call',
    async (gate) => {
      let die = (): void => undefined
      const dying = () => {
        die()
        return never()
      }
      const { address, crash } = await breakableWay(await serveSafety({ [gate]: dying }))
      die = crash
      return clientOf(address)
    },
  ],
  [
    'fails inside',
    async (gate) => clientOf(await serveSafety({ [gate]: async () => Promise.reject(new Error('/srv/secret')) })),
  ],
  ['answers without a verdict', async (gate) => clientOf(await serveSafety({ [gate]: async () => ({}) }))],
  [
    'answers a verdict that decides nothing',
    async (gate) => clientOf(await serveSafety({ [gate]: async () => ({ verdict: { policyVersion: 'test' } }) })),
  ],
  ['answers bytes that are no message', async (gate) => clientOf(await serveSafety({}, noMessage(gate)))],
  [
    'never answers, and is called without a deadline of its own',
    async (gate) => ({
      reviewPicture: never,
      reviewPrompt: gate === 'ReviewPrompt' ? never : async () => allowed,
      reviewSubject: never,
    }),
  ],
]

const files = () => readdirSync(world.folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile())

describe.each([
  { gate: 'ReviewPrompt', what: 'of the label' },
  { gate: 'ReviewSubject', what: 'of the photo' },
] as const)('no verdict $what: no subject, nothing is kept, asking again can help', ({ gate }) => {
  test.each(faults)(
    '%s',
    async (_, open) => {
      const client = await world.serve({ safety: await open(gate), reviewTimeoutMs: 3000 })
      const uploadId = await world.upload(tenant, await cutOutPhoto())
      const before = files().length
      const request = { tenant, uploadId, label: 'dog', idempotencyKey: uploadId }

      const { subject, problem } = await client.createSubject(request, AbortSignal.timeout(15_000))
      expect(subject).toBeNull()
      expect(problem).toMatchObject({
        kind: 'failed',
        failed: { stage: 'STAGE_REVIEW_INPUT', retryable: true },
        message: 'the subject could not be reviewed, so nothing of it was kept; try again later',
      })
      expect(files()).toHaveLength(before)
      expect((await world.client.listSubjects({ tenant, pageSize: 1 })).subjects).toEqual([])

      const again = await world.client.createSubject(request)
      expect(again).toMatchObject({ subject: { status: 'SUBJECT_STATUS_READY' }, problem: null })
      await world.client.deleteSubject({ tenant, id: again.subject!.id })
    },
    20_000,
  )
})
