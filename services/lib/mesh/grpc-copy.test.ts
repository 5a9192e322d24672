import { setTimeout as sleep } from 'node:timers/promises'
import { contextContract } from './contracts.ts'
import type { ContextServiceHandlers } from './generated/moma/context/v1/ContextService.ts'
import { createMeshClient } from './grpc-client.ts'
import { createMeshServer } from './grpc-server.ts'
import { alwaysReady } from './readiness.ts'
import { type Methods, meshService } from './service.ts'

test('a stream that waits often for its reader warns of nothing', async () => {
  const methods: Methods<ContextServiceHandlers> = {
    async EmbedContext(requests) {
      let bytes = 0
      for await (const { features } of requests) bytes += features?.data?.length ?? 0
      return { embedding: { shape: [bytes] } }
    },
  }
  await using cleanups = new AsyncDisposableStack()
  const service = meshService<ContextServiceHandlers>(contextContract, methods, alwaysReady)
  const server = createMeshServer({ services: [service] })
  cleanups.defer(() => server.dispose())
  const address = await server.listen({ host: '127.0.0.1', port: 0 })
  const client = createMeshClient(contextContract, { addresses: [address], deadlineMs: 60_000 })
  cleanups.defer(() => client.dispose())
  const warnings: string[] = []
  const note = ({ name, message }: Error) => void warnings.push(`${name}: ${message}`)
  process.on('warning', note)
  cleanups.defer(() => void process.off('warning', note))

  // gRPC takes 16 messages before it asks to wait, and Node warns of more than ten listeners.
  const count = 400
  const data = Buffer.alloc(2 ** 14)
  const answer = await client.clientStream('EmbedContext', function* () {
    for (let index = 0; index < count; index++) yield { features: { data } }
  })
  await sleep(1)
  expect(answer.embedding!.shape).toEqual([count * data.length])
  expect(warnings).toEqual([])
})
