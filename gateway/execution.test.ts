import { mock } from 'node:test'
import { deadlinesMs } from '../services/generation/client.ts'
import { MeshError } from '../services/lib/mesh/errors.ts'
import { silentLogger } from '../services/lib/mesh/log.ts'
import { createExecution } from './execution.ts'
import { limits } from './limits/limits.ts'
import type { GatewayMetrics } from './metrics.ts'
import { prepareOperation } from './prepare.ts'
import { loadSupergraph, type Operation } from './supergraph.ts'

// How long operations may take, by a clock that the test moves.

const supergraph = loadSupergraph(silentLogger)
afterEach(() => mock.timers.reset())

/** An operation whose service answers when the operation is given up, and not before; what its errors came of. */
function startSlowly(query: string) {
  mock.timers.enable({ apis: ['setTimeout'] })
  const unanswered = (_: object, signal?: AbortSignal) =>
    new Promise<never>((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  const execution = createExecution({
    supergraph,
    metrics: { operated: () => undefined } as unknown as GatewayMetrics,
    generation: { getCapabilities: unanswered, createSubject: unanswered } as never,
    progress: {} as never,
    publicUrl: () => 'http://127.0.0.1',
  })
  const state = { ended: false, causes: [] as unknown[] }
  const operation = prepareOperation(supergraph.schema, { query }) as Operation
  const identify = async () => ({ tenant: 'local', scopes: new Set(['READ', 'WRITE'] as const) })
  const call = { operation, variables: {}, identify, signal: new AbortController().signal }
  const result = execution.execute(call).then(({ errors = [] }) => {
    state.ended = true
    state.causes = errors.map(rootCause)
  })
  return { state, result }
}

function rootCause(error: unknown): unknown {
  return error instanceof Error && 'originalError' in error && error.originalError
    ? rootCause(error.originalError)
    : error
}

const settle = () => new Promise((resolve) => setImmediate(resolve))

test.each([
  ['a query', '{ capabilities { bundle } }', 30_000],
  ['a mutation', 'mutation { createSubject(input: { uploadId: "u", label: "dog" }) { __typename } }', 120_000],
])('%s is given up after its time', async (_, query, allowedMs) => {
  const { state, result } = startSlowly(query)
  await settle()
  mock.timers.tick(allowedMs - 1)
  await settle()
  expect(state.ended).toBe(false)
  mock.timers.tick(1)
  await result
  expect(state.causes).toEqual([new MeshError('DEADLINE_EXCEEDED', `the operation took longer than ${allowedMs} ms`)])
})

test('no mutation is given up before the call that it makes is', () => {
  const { CreateSubject, DeleteSubject } = deadlinesMs
  expect(limits.operationMs.mutation).toBeGreaterThanOrEqual(Math.max(CreateSubject, DeleteSubject))
})
