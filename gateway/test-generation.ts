import { createHash, randomUUID } from 'node:crypto'
import type { Address } from '../services/lib/mesh/address.ts'
import { generationContract } from '../services/lib/mesh/contracts.ts'
import { MeshError } from '../services/lib/mesh/errors.ts'
import type { Generation } from '../services/lib/mesh/generated/moma/generation/v1/Generation.ts'
import type { GenerationServiceHandlers } from '../services/lib/mesh/generated/moma/generation/v1/GenerationService.ts'
import type { Problem } from '../services/lib/mesh/generated/moma/generation/v1/Problem.ts'
import type { Progress } from '../services/lib/mesh/generated/moma/generation/v1/Progress.ts'
import type { Subject } from '../services/lib/mesh/generated/moma/generation/v1/Subject.ts'
import type { Verdict } from '../services/lib/mesh/generated/moma/safety/v1/Verdict.ts'
import { createMeshServer } from '../services/lib/mesh/grpc-server.ts'
import { callFields } from '../services/lib/mesh/log.ts'
import { alwaysReady } from '../services/lib/mesh/readiness.ts'
import { type Methods, meshService } from '../services/lib/mesh/service.ts'

/**
 * The generation service for tests: the whole contract in memory, over real gRPC. Nothing happens by itself: tests
 * publish progress. A label or prompt `problem:<kind>` is refused with that problem.
 */
export interface TestGeneration {
  readonly address: Address
  /** Calls so far, by method. */
  readonly calls: Readonly<Record<string, number>>
  /** Sizes of the batches that subjects and generations were asked for in. */
  readonly batches: readonly number[]
  /** Ids that came with the calls. */
  readonly requestIds: ReadonlySet<string | undefined>
  /** Streams that are open now. */
  readonly watchers: number
  /** Uploads that are being written now. */
  readonly writers: number
  addKey(options?: { tenant?: string; scopes?: readonly Scope[] }): string
  revoke(key: string): void
  addSubject(tenant?: string): string
  addGeneration(options?: { tenant?: string; subjectId?: string; images?: number; judged?: boolean }): string
  addAsset(bytes: Uint8Array, contentType?: string): string
  /** The next snapshot of a generation; its cursor. */
  publish(id: string, progress?: Partial<Progress>): string
  /** Ends a generation with a last snapshot. */
  finish(id: string): void
  /** Breaks all streams off, as a service does that goes away. */
  breakOff(): void
  /** Makes calls of a method wait until what this returns is called. */
  hold(method: 'GetCapabilities'): () => void
  /** Makes every call of a method fail. */
  fail(method: string, error: MeshError | null): void
  dispose(): Promise<void>
}

type Scope = 'SCOPE_READ' | 'SCOPE_WRITE'
const bothScopes: readonly Scope[] = ['SCOPE_READ', 'SCOPE_WRITE']

export const testLimits = { maxUploadBytes: 100_000, maxPixels: 4_000_000 }
/** Of its bundle: none that a schema would name. */
export const testDefaults = { steps: 13, guidance: 2.5 }

export const allowed: Verdict = {
  decision: 'DECISION_ALLOWED',
  findings: [
    {
      stage: 'STAGE_SUBJECT',
      detector: 'person-detector',
      reason: 'a person',
      score: 0.1,
      threshold: 0.8,
      region: { left: 0.299, top: 0, width: 0.3, height: 1 },
    },
  ],
  policyVersion: '3',
}
const refused: Verdict = { ...allowed, decision: 'DECISION_REJECTED_PERSON' }

const problems: Record<string, Problem> = {
  invalidInput: { invalidInput: { field: 'label' }, message: 'label is "", allowed is a noun' },
  notFound: { notFound: { id: 'gone' }, message: 'there is no subject gone' },
  conflict: { conflict: { idempotencyKey: 'k' }, message: 'the key k was used for another request' },
  limitExceeded: { limitExceeded: { limit: 'queued', retryAfterMs: 1500 }, message: '10 generations wait' },
  personSubjectRejected: { personSubjectRejected: { verdict: refused }, message: 'the subject is a person' },
  contentRejected: { contentRejected: { verdict: refused }, message: 'the content is not allowed' },
  failed: { failed: { stage: 'STAGE_VISION', retryable: true }, message: 'vision went away' },
}
const problemIn = (text = '') => problems[/^problem:(\w+)$/.exec(text)?.[1] ?? '']

interface Topic {
  readonly log: Progress[]
  readonly wake: Set<() => void>
  ended: boolean
}

export async function serveTestGeneration(address: Address = { host: '127.0.0.1', port: 0 }): Promise<TestGeneration> {
  const keys = new Map<string, { id: string; tenant: string; scopes: Scope[]; revoked: boolean }>()
  const subjects = new Map<string, Subject & { tenant: string }>()
  const generations = new Map<string, Generation & { tenant: string }>()
  const uploads = new Map<string, { contentType: string; byteLength: number; id: string; bytes: Buffer | null }>()
  const assets = new Map<string, { contentType: string; bytes: Uint8Array }>()
  const topics = new Map<string, Topic>()
  const failures = new Map<string, MeshError>()
  const held = new Map<string, Promise<void>>()
  const calls: Record<string, number> = {}
  const batches: number[] = []
  const requestIds = new Set<string | undefined>()
  let broken = new AbortController()
  let watchers = 0
  let writers = 0
  let serial = 0
  const now = () => ({ seconds: 1_790_000_000, nanos: 500_000_000 })

  const topicOf = (id: string): Topic => {
    const topic = topics.get(id) ?? { log: [], wake: new Set(), ended: false }
    topics.set(id, topic)
    return topic
  }
  const called = (method: string) => {
    calls[method] = (calls[method] ?? 0) + 1
    requestIds.add(callFields().requestId)
    const failure = failures.get(method)
    if (failure) throw failure
  }
  /** Pages after the item with the id in the token. */
  const page = <T extends { id?: string }>(items: readonly T[], size = 20, token = '') => {
    const start = token === '' ? 0 : items.findIndex(({ id }) => id === token) + 1
    const shown = items.slice(start, start + size)
    const last = shown.at(-1)
    return {
      shown,
      pageTokens: shown.map(({ id }) => id!),
      nextPageToken: last && start + size < items.length ? last.id! : '',
    }
  }
  const newest = <T extends { tenant: string }>(items: Map<string, T>, tenant = '') =>
    [...items.values()].filter((item) => item.tenant === tenant).reverse()
  const asset = (bytes: Uint8Array, contentType = 'image/png') => {
    const token = `t-${randomUUID()}`
    assets.set(token, { contentType, bytes })
    return { token, contentType, widthPx: 64, heightPx: 64, byteLength: bytes.length }
  }
  const makeSubject = (tenant: string, label: string) => {
    const subject = {
      id: `s-${++serial}`,
      tenant,
      label,
      status: 'SUBJECT_STATUS_READY' as const,
      image: asset(Buffer.from('photo')),
      mask: asset(Buffer.from('mask')),
      verdict: allowed,
      createTime: now(),
    }
    subjects.set(subject.id, subject)
    return subject
  }
  const makeGeneration = (
    tenant: string,
    subjectId: string,
    settings: Generation['settings'],
    images = 0,
    judged = true,
  ) => {
    const id = `g-${++serial}`
    const generation: Generation & { tenant: string } = {
      id,
      tenant,
      subjectId,
      status: 'GENERATION_STATUS_QUEUED',
      settings: {
        ...{ prompt: 'a dog', task: 'TASK_RECONTEXTUALIZE', method: 'METHOD_MOMA', sampler: 'SAMPLER_DDIM' },
        ...{ ...testDefaults, strength: 0.8, seed: 2 ** 40, count: 1 },
        ...(Object.fromEntries(
          Object.entries(settings ?? {}).filter(
            ([, value]) => value !== null && !String(value).endsWith('UNSPECIFIED'),
          ),
        ) as object),
      },
      fraction: 0.1,
      queuePosition: 2,
      images: Array.from({ length: images }, (_, index) => ({
        id: `${id}-${index}`,
        index,
        seed: index,
        image: asset(Buffer.from(`picture ${index}`)),
        mask: asset(Buffer.from('mask')),
        verdict: allowed,
      })),
      promptVerdict: judged ? allowed : null,
      timings: [{ stage: 'STAGE_VISION', elapsedMs: 12 }],
      createTime: now(),
      cursor: '0',
    }
    generations.set(id, generation)
    return generation
  }
  const append = (id: string, progress: Progress): string => {
    const topic = topicOf(id)
    const cursor = String(topic.log.length + 1).padStart(6, '0')
    const step = topic.log.length + 1
    topic.log.push({
      status: 'GENERATION_STATUS_RUNNING',
      stage: 'STAGE_DENOISE',
      step,
      steps: 50,
      time: now(),
      ...progress,
      cursor,
    })
    for (const wake of topic.wake) wake()
    return cursor
  }

  const methods: Methods<GenerationServiceHandlers> = {
    async Authenticate({ apiKey }) {
      called('Authenticate')
      const key = keys.get(apiKey)
      if (!key || key.revoked) throw new MeshError('UNAUTHENTICATED', 'the key is unknown or revoked')
      return { tenant: key.tenant, scopes: key.scopes }
    },
    async CreateApiKey({ tenant, scopes, name }) {
      called('CreateApiKey')
      const secret = `moma_${randomUUID()}`
      keys.set(secret, { id: secret.slice(-8), tenant, scopes: scopes as never, revoked: false })
      return { secret, apiKey: { id: secret.slice(-8), tenant, scopes, name } }
    },
    async ListApiKeys() {
      called('ListApiKeys')
      const all = [...keys.values()]
      return {
        apiKeys: all.map(({ id, tenant, scopes, revoked }) => ({
          id,
          tenant,
          scopes,
          revokeTime: revoked ? now() : null,
        })),
      }
    },
    async RevokeApiKey({ id }) {
      called('RevokeApiKey')
      const key = [...keys.values()].find((one) => one.id === id)
      if (!key) throw new MeshError('NOT_FOUND', `there is no key ${id}`)
      key.revoked = true
      return { apiKey: { id } }
    },
    async CreateUpload({ contentType, byteLength }) {
      called('CreateUpload')
      if (byteLength > testLimits.maxUploadBytes) {
        const message = `byteLength is ${byteLength}, allowed is ${testLimits.maxUploadBytes}`
        return { problem: { invalidInput: { field: 'byteLength' }, message } }
      }
      const token = `u-${randomUUID()}`
      uploads.set(token, { contentType, byteLength, id: `upload-${++serial}`, bytes: null })
      return { uploadId: uploads.get(token)!.id, token, expireTime: now() }
    },
    async WriteUpload(requests) {
      called('WriteUpload')
      let upload: ReturnType<typeof uploads.get>
      let contentType = ''
      const chunks: Buffer[] = []
      writers++
      try {
        for await (const { header, data } of requests) {
          if (header) {
            upload = uploads.get(header.token)
            contentType = header.contentType
            if (!upload) return { problem: { notFound: { id: header.token }, message: 'there is no such upload' } }
          } else if (data) chunks.push(data)
        }
      } finally {
        writers--
      }
      if (!upload) throw new MeshError('INVALID_ARGUMENT', 'no header')
      const bytes = Buffer.concat(chunks)
      if (contentType !== upload.contentType) {
        const message = `contentType is ${contentType}, allowed is ${upload.contentType}`
        return { problem: { invalidInput: { field: 'contentType' }, message } }
      }
      if (bytes.length !== upload.byteLength) {
        const message = `the file has ${bytes.length} bytes, allowed are ${upload.byteLength}`
        return { problem: { invalidInput: { field: 'byteLength' }, message } }
      }
      upload.bytes = bytes
      return { uploadId: upload.id }
    },
    async *ReadAsset({ token, offset, length }) {
      called('ReadAsset')
      const found = assets.get(token)
      if (!found) throw new MeshError('NOT_FOUND', `there is no asset ${token}`)
      const { contentType, bytes } = found
      yield {
        header: { contentType, byteLength: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') },
      }
      const end = length === 0 ? bytes.length : offset + length
      for (let start = offset; start < Math.min(end, bytes.length); start += 1000) {
        yield { data: bytes.subarray(start, Math.min(start + 1000, end)) }
      }
    },
    async CreateSubject({ tenant, label }) {
      called('CreateSubject')
      const problem = problemIn(label)
      return problem ? { problem } : { subject: makeSubject(tenant, label) }
    },
    async GetSubjects({ tenant, ids }) {
      called('GetSubjects')
      batches.push(ids.length)
      return { subjects: ids.flatMap((id) => subjects.get(id) ?? []).filter((one) => one.tenant === tenant) }
    },
    async ListSubjects({ tenant, pageSize, pageToken }) {
      called('ListSubjects')
      const { shown, ...rest } = page(newest(subjects, tenant), pageSize, pageToken)
      return { subjects: shown, ...rest }
    },
    async DeleteSubject({ tenant, id }) {
      called('DeleteSubject')
      if (subjects.get(id)?.tenant !== tenant)
        return { problem: { notFound: { id }, message: `there is no subject ${id}` } }
      subjects.delete(id)
      return { id }
    },
    async CreateGeneration({ tenant, subjectId, settings }) {
      called('CreateGeneration')
      const problem = problemIn(settings?.prompt)
      return problem ? { problem } : { generation: makeGeneration(tenant, subjectId, settings) }
    },
    async GetGenerations({ tenant, ids }) {
      called('GetGenerations')
      batches.push(ids.length)
      return { generations: ids.flatMap((id) => generations.get(id) ?? []).filter((one) => one.tenant === tenant) }
    },
    async ListGenerations({ tenant, pageSize, pageToken, subjectId, status }) {
      called('ListGenerations')
      const wanted = newest(generations, tenant).filter(
        (one) =>
          (subjectId === '' || one.subjectId === subjectId) &&
          (status === 'GENERATION_STATUS_UNSPECIFIED' || one.status === status),
      )
      const { shown, ...rest } = page(wanted, pageSize, pageToken)
      return { generations: shown, ...rest }
    },
    async CancelGeneration({ tenant, id }) {
      called('CancelGeneration')
      const generation = generations.get(id)
      if (generation?.tenant !== tenant)
        return { problem: { notFound: { id }, message: `there is no generation ${id}` } }
      generation.status = 'GENERATION_STATUS_CANCELED'
      return { generation }
    },
    async *WatchGeneration({ tenant, id, after }, { signal }) {
      called('WatchGeneration')
      if (generations.get(id)?.tenant !== tenant) throw new MeshError('NOT_FOUND', `there is no generation ${id}`)
      const topic = topicOf(id)
      const gone = broken.signal
      const stop = AbortSignal.any([signal, gone])
      watchers++
      try {
        const seen = topic.log.findIndex(({ cursor }) => cursor === after)
        for (let next = seen >= 0 ? seen + 1 : Math.max(0, topic.log.length - 1); ; next++) {
          while (next >= topic.log.length && !topic.ended && !stop.aborted) {
            await new Promise<void>((resolve) => {
              topic.wake.add(resolve)
              stop.addEventListener('abort', () => resolve(), { once: true })
            })
          }
          if (gone.aborted) throw new MeshError('UNAVAILABLE', 'generation: gone for a moment')
          const progress = topic.log[next]
          if (!progress || signal.aborted) return
          yield { progress }
        }
      } finally {
        watchers--
      }
    },
    async GetCapabilities() {
      called('GetCapabilities')
      await held.get('GetCapabilities')
      return {
        ...{ bundle: 'moma-mini', sizePx: 64, samplers: ['SAMPLER_DDIM'], methods: ['METHOD_MOMA'], ...testLimits },
        ...{ maxPromptLength: 500, maxCount: 8, maxSteps: 999, maxQueued: 10, executionProvider: 'cpu' },
        defaults: { ...testDefaults, strengthRecontextualize: 1, strengthRetexture: 0.5 },
      }
    },
  }

  const server = createMeshServer({
    services: [meshService<GenerationServiceHandlers>(generationContract, methods, alwaysReady)],
  })
  const bound = await server.listen(address)
  return {
    address: bound,
    calls,
    batches,
    requestIds,
    get watchers() {
      return watchers
    },
    get writers() {
      return writers
    },
    addKey({ tenant = 'acme', scopes = bothScopes } = {}) {
      const key = `moma_${randomUUID()}`
      keys.set(key, { id: key.slice(-8), tenant, scopes: [...scopes], revoked: false })
      return key
    },
    revoke(key) {
      keys.get(key)!.revoked = true
    },
    addSubject: (tenant = 'local') => makeSubject(tenant, 'dog').id,
    addGeneration({ tenant = 'local', subjectId = makeSubject(tenant, 'dog').id, images = 1, judged = true } = {}) {
      return makeGeneration(tenant, subjectId, {}, images, judged).id!
    },
    addAsset: (bytes, contentType) => asset(bytes, contentType).token,
    publish: (id, progress = {}) => append(id, progress),
    finish(id) {
      append(id, { status: 'GENERATION_STATUS_SUCCEEDED', stage: 'STAGE_UNSPECIFIED', fraction: 1 })
      const topic = topicOf(id)
      topic.ended = true
      for (const wake of topic.wake) wake()
    },
    breakOff() {
      broken.abort()
      broken = new AbortController()
    },
    hold(method) {
      const { promise, resolve } = Promise.withResolvers<void>()
      held.set(method, promise)
      return resolve
    },
    fail(method, error) {
      if (error) failures.set(method, error)
      else failures.delete(method)
    },
    dispose: () => server.dispose(),
  }
}
