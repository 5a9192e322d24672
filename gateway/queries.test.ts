import { MeshError } from '../services/lib/mesh/errors.ts'
import { openTestGateway, type TestGateway } from './test-gateway.ts'
import { testDefaults } from './test-generation.ts'

// Queries and mutations over HTTP against a generation service in memory; gRPC and HTTP are real.

let gateway: TestGateway
beforeAll(async () => {
  gateway = await openTestGateway()
})
afterAll(() => gateway.dispose())

describe('queries', () => {
  test('a subject, with what the safety subgraph adds to it', async () => {
    const id = gateway.generation.addSubject()
    const { status, data, errors } = await gateway.ask(
      `query ($id: ID!) { subject(id: $id) {
        id label status createdAt image { url width height contentType byteLength } mask { url }
        safety { decision policyVersion findings { stage detector reason score threshold region { left top width height } } }
      } }`,
      { id },
    )
    expect({ status, errors }).toEqual({ status: 200, errors: undefined })
    expect(data.subject).toEqual({
      id,
      label: 'dog',
      status: 'READY',
      createdAt: '2026-09-21T14:13:20.500Z',
      image: {
        url: expect.stringContaining(`${gateway.url}/assets/t-`),
        ...{ width: 64, height: 64, contentType: 'image/png', byteLength: 5 },
      },
      mask: { url: expect.stringContaining('/assets/') },
      safety: {
        decision: 'ALLOWED',
        policyVersion: '3',
        findings: [
          {
            ...{ stage: 'SUBJECT', detector: 'person-detector', reason: 'a person', score: 0.1, threshold: 0.8 },
            region: { left: 0.299, top: 0, width: 0.3, height: 1 },
          },
        ],
      },
    })
  })

  test('a generation, whole', async () => {
    const id = gateway.generation.addGeneration({ images: 2 })
    const { data, errors } = await gateway.ask(
      `query ($id: ID!) { generation(id: $id) {
        id status stage subject { label safety { decision } } prompt negativePrompt task method sampler strength guidance
        steps count seed progress { step steps fraction } queuePosition cursor
        images { index seed url width height mask { url } safety { decision } }
        safety { decision policyVersion } problem { code } timings { stage ms } createdAt startedAt completedAt
      } }`,
      { id },
    )
    expect(errors).toBeUndefined()
    expect(data.generation).toMatchObject({
      ...{ id, status: 'QUEUED', stage: null, prompt: 'a dog', negativePrompt: '', task: 'RECONTEXTUALIZE' },
      ...{ method: 'MOMA', sampler: 'DDIM', strength: 0.8, ...testDefaults, count: 1, seed: 2 ** 40 },
      progress: { step: 0, steps: testDefaults.steps, fraction: 0.1 },
      ...{ queuePosition: 2, cursor: '0', problem: null },
      ...{ startedAt: null, completedAt: null, timings: [{ stage: 'VISION', ms: 12 }] },
      subject: { label: 'dog', safety: { decision: 'ALLOWED' } },
      safety: { decision: 'ALLOWED', policyVersion: '3' },
      images: [
        { index: 0, seed: 0, safety: { decision: 'ALLOWED' } },
        { index: 1, seed: 1, safety: { decision: 'ALLOWED' } },
      ],
    })
  })

  test('a generation whose words nobody has judged yet', async () => {
    const id = gateway.generation.addGeneration({ judged: false })
    const query = 'query ($id: ID!) { generation(id: $id) { safety { decision } prompt } }'
    const { data, errors } = await gateway.ask(query, { id })
    expect({ data, errors }).toEqual({ data: { generation: { safety: null, prompt: 'a dog' } }, errors: undefined })
  })

  test('what is not there, or another tenant’s, is null', async () => {
    const other = gateway.generation.addSubject('other')
    const query = 'query ($a: ID!) { subject(id: $a) { id } generation(id: "no") { id } }'
    const { data, errors } = await gateway.ask(query, { a: other })
    expect({ data, errors }).toEqual({ data: { subject: null, generation: null }, errors: undefined })
  })

  test('what is asked for one by one is fetched together', async () => {
    const subjectId = gateway.generation.addSubject()
    for (let k = 0; k < 6; k++) gateway.generation.addGeneration({ subjectId })
    const before = gateway.generation.batches.length
    const { data } = await gateway.ask(
      '{ generations(first: 5) { nodes { subject { label } } } a: subject(id: "x") { id } }',
    )
    expect(data.generations.nodes).toHaveLength(5)
    expect(gateway.generation.batches.slice(before).sort()).toEqual([1, 1])
  })

  test('lists go on from page to page, and back to a subject', async () => {
    const subjectId = gateway.generation.addSubject()
    const ids = Array.from({ length: 5 }, () => gateway.generation.addGeneration({ subjectId })).reverse()
    const query = `query ($id: ID!, $after: String) {
      subject(id: $id) { generations(first: 2, after: $after) {
        nodes { id } edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      } }
    }`
    const seen: string[] = []
    for (let after: string | null = null, pages = 0; pages < 5; pages++) {
      const { data } = await gateway.ask(query, { id: subjectId, after })
      const { nodes, edges, pageInfo } = data.subject.generations
      expect(edges.map((edge: { node: object }) => edge.node)).toEqual(nodes)
      expect(pageInfo.hasPreviousPage).toBe(after !== null)
      expect(pageInfo.startCursor).toBe(edges[0].cursor)
      seen.push(...nodes.map((node: { id: string }) => node.id))
      after = pageInfo.endCursor
      if (!pageInfo.hasNextPage) break
    }
    expect(seen).toEqual(ids)
  })

  test('filters of generations', async () => {
    const subjectId = gateway.generation.addSubject()
    const id = gateway.generation.addGeneration({ subjectId })
    const query = `query ($id: ID!, $status: GenerationStatus) { generations(subjectId: $id, status: $status) { nodes { id } } }`
    const queued = await gateway.ask(query, { id: subjectId, status: 'QUEUED' })
    expect(queued.data.generations.nodes).toEqual([{ id }])
    const running = await gateway.ask(query, { id: subjectId, status: 'RUNNING' })
    expect(running.data.generations.nodes).toEqual([])
  })

  test('capabilities', async () => {
    const { data } = await gateway.ask(`{ capabilities {
      bundle sizePx samplers methods limits { uploadBytes pixels promptLength count steps queued }
      defaults { steps guidance strengthRecontextualize strengthRetexture } executionProvider segmentation
    } }`)
    expect(data.capabilities).toEqual({
      ...{ bundle: 'moma-mini', sizePx: 64, samplers: ['DDIM'], methods: ['MOMA'], executionProvider: 'cpu' },
      limits: { uploadBytes: 100_000, pixels: 4_000_000, promptLength: 500, count: 8, steps: 999, queued: 10 },
      defaults: { ...testDefaults, strengthRecontextualize: 1, strengthRetexture: 0.5 },
      segmentation: false,
    })
  })

  test('the schema can be asked for, with a description of everything', async () => {
    const { data } = await gateway.ask(`{ __schema { types {
      name description fields { name description args { name description } } inputFields { name description }
      enumValues { name description }
    } } }`)
    type Described = { name: string; description: string | null } & Record<string, Described[] | null>
    const missing: string[] = []
    const look = (place: string, item: Described) => {
      if (!item.description) missing.push(`${place}${item.name}`)
      for (const list of ['fields', 'args', 'inputFields', 'enumValues']) {
        for (const inner of item[list] ?? []) look(`${place}${item.name}.`, inner)
      }
    }
    for (const type of data.__schema.types) if (!type.name.startsWith('__')) look('', type)
    expect(missing).toEqual([])
    expect(data.__schema.types.map(({ name }: Described) => name)).not.toContain('RecordedVerdict')
  })
})

describe('mutations', () => {
  const createSubject = (label: string) =>
    gateway.ask(
      `mutation ($input: CreateSubjectInput!) { createSubject(input: $input) {
        __typename
        ... on Subject { id label safety { decision } }
        ... on Problem { code message retryable }
        ... on InvalidInput { field reason }
        ... on NotFound { id }
        ... on Conflict { idempotencyKey }
        ... on LimitExceeded { limit retryAfterMs }
        ... on PersonSubjectRejected { stage detector score threshold policyVersion region { left width } }
        ... on ContentRejected { stage detector score threshold policyVersion region { left width } }
        ... on Failed { failedAt: stage }
      } }`,
      { input: { uploadId: 'u', label } },
    )

  test('createUpload says where and how to send the bytes', async () => {
    const { data } = await gateway.ask(
      `mutation { createUpload(input: { contentType: "image/png", byteLength: 10 }) {
        uploadId url method headers { name value } expiresAt problem { message } } }`,
    )
    expect(data.createUpload).toEqual({
      uploadId: expect.stringMatching(/^upload-/),
      url: expect.stringContaining(`${gateway.url}/uploads/u-`),
      method: 'PUT',
      headers: [{ name: 'Content-Type', value: 'image/png' }],
      expiresAt: '2026-09-21T14:13:20.500Z',
      problem: null,
    })
  })

  test.each([100_001, 0, -1])('createUpload has no room for %d bytes', async (byteLength) => {
    const { data, errors } = await gateway.ask(
      `mutation ($byteLength: Int!) { createUpload(input: { contentType: "image/png", byteLength: $byteLength }) {
        uploadId url method headers { name } expiresAt problem { code message ... on InvalidInput { field } } } }`,
      { byteLength },
    )
    expect(errors).toBeUndefined()
    expect(data.createUpload).toEqual({
      ...{ uploadId: null, url: null, method: null, headers: [], expiresAt: null },
      problem: {
        code: 'INVALID_INPUT',
        message: expect.stringContaining(`byteLength is ${byteLength}, allowed is`),
        field: 'byteLength',
      },
    })
  })

  test('createSubject gives the subject with what other subgraphs know of it', async () => {
    const { data } = await createSubject('cat')
    expect(data.createSubject).toEqual({
      ...{ __typename: 'Subject', label: 'cat', id: expect.any(String), safety: { decision: 'ALLOWED' } },
    })
  })

  const finding = {
    ...{ stage: 'SUBJECT', detector: 'person-detector', score: 0.1, threshold: 0.8, policyVersion: '3' },
    region: { left: 0.299, width: 0.3 },
  }
  test.each([
    [
      'invalidInput',
      'InvalidInput',
      'INVALID_INPUT',
      false,
      { field: 'label', reason: 'label is "", allowed is a noun' },
    ],
    ['notFound', 'NotFound', 'NOT_FOUND', false, { id: 'gone' }],
    ['conflict', 'Conflict', 'CONFLICT', false, { idempotencyKey: 'k' }],
    ['limitExceeded', 'LimitExceeded', 'LIMIT_EXCEEDED', true, { limit: 'queued', retryAfterMs: 1500 }],
    ['personSubjectRejected', 'PersonSubjectRejected', 'PERSON_SUBJECT_REJECTED', false, finding],
    ['contentRejected', 'ContentRejected', 'CONTENT_REJECTED', false, finding],
    ['failed', 'Failed', 'FAILED', true, { failedAt: 'VISION' }],
  ])('a subject refused with %s', async (kind, typename, code, retryable, more) => {
    const { data, errors } = await createSubject(`problem:${kind}`)
    expect(errors).toBeUndefined()
    const message = expect.stringMatching(/\w+ \w+/)
    expect(data.createSubject).toEqual({ __typename: typename, code, message, retryable, ...more })
  })

  const generate = (input: object) =>
    gateway.ask(
      `mutation ($input: CreateGenerationInput!) { createGeneration(input: $input) {
        __typename ... on Generation { id prompt task strength guidance steps seed count subject { id } }
        ... on Problem { code message } ... on InvalidInput { field } } }`,
      { input: { subjectId: gateway.generation.addSubject(), prompt: 'a dog on Mars', ...input } },
    )

  test('createGeneration fills in what is not given', async () => {
    const { data } = await generate({ task: 'RETEXTURE', seed: 2 ** 53 - 66 })
    expect(data.createGeneration).toMatchObject({
      ...{ __typename: 'Generation', prompt: 'a dog on Mars', task: 'RETEXTURE', ...testDefaults, count: 1 },
      ...{ seed: 2 ** 53 - 66, subject: { id: expect.any(String) } },
    })
  })

  test.each([{}, { guidance: null, steps: null }])('%j leaves guidance and steps to the bundle', async (input) => {
    const { data, errors } = await generate(input)
    expect(errors).toBeUndefined()
    expect(data.createGeneration).toMatchObject({ __typename: 'Generation', ...testDefaults })
  })

  test('numbers that the contract could not carry are problems', async () => {
    const { data } = await generate({ steps: -1 })
    expect(data.createGeneration).toMatchObject({ __typename: 'InvalidInput', field: 'steps', code: 'INVALID_INPUT' })
  })

  test.each([-1, 1.5, 2 ** 53, '7'])('the seed %p is refused before anything runs', async (seed) => {
    const before = gateway.generation.calls.CreateGeneration
    const { status, errors, data } = await generate({ seed })
    expect(status).toBe(400)
    expect(data).toBeUndefined()
    expect(errors![0]!.message).toContain('allowed is a whole number from 0 to')
    expect(errors![0]!.extensions.code).toBe('BAD_USER_INPUT')
    expect(gateway.generation.calls.CreateGeneration).toBe(before)
  })

  test('cancelGeneration and deleteSubject', async () => {
    const subjectId = gateway.generation.addSubject()
    const id = gateway.generation.addGeneration({ subjectId })
    const query = `mutation ($id: ID!, $subjectId: ID!) {
      cancelGeneration(id: $id) { __typename ... on Generation { id status } }
      deleteSubject(id: $subjectId) { __typename ... on DeletedSubject { id } }
      again: deleteSubject(id: $subjectId) { __typename ... on NotFound { id code } }
      none: cancelGeneration(id: "no") { __typename ... on Problem { code } }
    }`
    const { data } = await gateway.ask(query, { id, subjectId })
    expect(data).toEqual({
      cancelGeneration: { __typename: 'Generation', id, status: 'CANCELED' },
      deleteSubject: { __typename: 'DeletedSubject', id: subjectId },
      again: { __typename: 'NotFound', id: subjectId, code: 'NOT_FOUND' },
      none: { __typename: 'NotFound', code: 'NOT_FOUND' },
    })
  })
})

describe('faults', () => {
  afterEach(() => gateway.generation.fail('GetCapabilities', null))

  test.each([
    ['INTERNAL', 'INTERNAL_SERVER_ERROR', /^something went wrong here; the log has it under [\w-]{36}$/],
    ['UNAVAILABLE', 'SERVICE_UNAVAILABLE', /^a service can not be reached at the moment, try again$/],
    ['DEADLINE_EXCEEDED', 'TIMEOUT', /^a service took too long, try again$/],
    ['RESOURCE_EXHAUSTED', 'LIMIT_EXCEEDED', /^as the service said it$/],
  ] as const)('%s of a service is told as %s', async (code, shown, message) => {
    gateway.generation.fail('GetCapabilities', new MeshError(code, 'as the service said it'))
    const { data, errors } = await gateway.ask('{ a: capabilities { bundle } }')
    expect(data).toBeNull()
    expect(errors).toHaveLength(1)
    expect(errors![0]).toMatchObject({
      message: expect.stringMatching(message),
      path: ['a'],
      extensions: { code: shown },
    })
    expect(Object.keys(errors![0]!.extensions)).not.toContain('stacktrace')
  })

  test('an id of the request goes to the service and comes back', async () => {
    const { headers } = await gateway.ask('{ capabilities { bundle } }', {}, { 'x-request-id': 'from-the-client' })
    expect(headers.get('x-request-id')).toBe('from-the-client')
    expect(gateway.generation.requestIds).toContain('from-the-client')
    const odd = await gateway.ask('{ capabilities { bundle } }', {}, { 'x-request-id': 'a b"c' })
    expect(odd.headers.get('x-request-id')).toMatch(/^[\w-]{36}$/)
  })
})
