import { createMeshServer } from '../lib/mesh/grpc-server.ts'
import { alwaysReady } from '../lib/mesh/readiness.ts'
import { createSlots } from '../lib/mesh/slots.ts'
import { createSafetyClient } from './client.ts'
import { createJudge } from './judge.ts'
import { readPolicy } from './policy/policy.ts'
import { createSafetyServer } from './server.ts'

// A label before its photo is seen, over real gRPC on loopback.

test('its words are judged by the gate of subjects, while all slots are taken too; those of a request wait', async () => {
  const slots = createSlots('safety', { slots: 1, queue: 4 })
  using _busy = await slots.acquire()
  const safety = createJudge(readPolicy())
  await using opened = new AsyncDisposableStack()
  const server = createMeshServer({ services: [createSafetyServer({ safety, slots, readiness: alwaysReady })] })
  opened.defer(() => server.dispose())
  const address = await server.listen({ host: '127.0.0.1', port: 0 })
  const client = opened.use(createSafetyClient({ addresses: [address], deadlineMs: 1000, waitMs: 20_000 }))

  const label = { prompt: '', negativePrompt: '', stage: 'SUBJECT' } as const
  expect(await client.reviewPrompt({ ...label, label: 'lamp' })).toMatchObject({ decision: 'ALLOWED', findings: [] })
  expect(await client.reviewPrompt({ ...label, label: 'man' })).toMatchObject({
    decision: 'REJECTED_PERSON',
    findings: [{ stage: 'SUBJECT', detector: 'words/person', region: null }],
  })
  const words = { label: 'man', prompt: 'a man', negativePrompt: '' }
  await expect(client.reviewPrompt(words)).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  expect(await safety.reviewPrompt(words)).toMatchObject({ findings: [{ stage: 'PROMPT' }, {}] })
}, 40_000)
