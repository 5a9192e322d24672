import { visionContract } from '../../services/lib/mesh/contracts.ts'
import { MeshError } from '../../services/lib/mesh/errors.ts'
import { silentLogger } from '../../services/lib/mesh/log.ts'
import { alwaysReady } from '../../services/lib/mesh/readiness.ts'
import type { Call, MeshService } from '../../services/lib/mesh/service.ts'
import { type Later, openLater } from './late.ts'

const call: Call = { signal: new AbortController().signal, log: silentLogger }

const segment = ({ services }: Later) => {
  const method = services[0]!.methods.Segment as (input: unknown, call: Call) => Promise<unknown>
  return method('a photo', call)
}

test('services are there before they are opened; calls wait', async () => {
  const vision: MeshService = {
    contract: visionContract,
    methods: { Segment: async (input: unknown) => `mask of ${input}` },
    readiness: alwaysReady,
  }
  let disposed = false
  const later = openLater(['vision'], async () => ({
    services: [vision],
    dispose: async () => {
      disposed = true
    },
  }))
  const { readiness } = later.services[0]!
  const changes: boolean[] = []
  readiness.onChange((ready) => changes.push(ready))
  const answer = segment(later)
  expect(readiness.ready).toBe(false)
  later.open()
  expect(await answer).toBe('mask of a photo')
  expect(readiness.ready).toBe(true)
  expect(changes).toEqual([true])
  await later[Symbol.asyncDispose]()
  expect(disposed).toBe(true)
})

test('what can not be opened is told, and what is disposed before is never opened', async () => {
  const broken = openLater(['vision'], async () => {
    throw new MeshError('INTERNAL', 'no weights')
  })
  broken.open()
  await expect(broken.failed).rejects.toThrow('no weights')
  await broken[Symbol.asyncDispose]()

  const unopened = openLater(['vision'], async () => {
    throw new TypeError('it was opened')
  })
  await unopened[Symbol.asyncDispose]()
  unopened.open()
  await expect(segment(unopened)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
})
