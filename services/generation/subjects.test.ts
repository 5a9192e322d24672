import { readdirSync } from 'node:fs'
import sharp from 'sharp'
import { createContentCache } from '../lib/content-cache.ts'
import type { GreyImage, RgbImage } from '../lib/images/image.ts'
import { MeshError } from '../lib/mesh/errors.ts'
import type { Verdict } from '../safety/safety.ts'
import { databaseKinds } from './db/test-database.ts'
import { defaultLimits } from './limits.ts'
import { readStoredSubject } from './runner/stored-subject.ts'
import { cutOutPhoto, maskOfPhoto, opaquePhoto, type ServedWorld, serveWorld, until } from './test-server.ts'
import { allowed, newAsset } from './test-world.ts'

const person: Verdict = {
  decision: 'REJECTED_PERSON',
  policyVersion: 'test',
  findings: [{ stage: 'SUBJECT', detector: 'faces', reason: 'a face', score: 0.75, threshold: 0.5, region: null }],
}

/** Finds nothing wrong with any words. */
const reviewPrompt = async () => allowed

/** Seen as the square in the middle. */
const segment = async ({ widthPx, heightPx }: RgbImage): Promise<GreyImage> => {
  const isInside = (at: number, px: number) => at >= px / 4 && at < (3 * px) / 4
  const pixels = Uint8Array.from({ length: widthPx * heightPx }, (_, index) =>
    isInside(index % widthPx, widthPx) && isInside(Math.floor(index / widthPx), heightPx) ? 250 : 3,
  )
  return { widthPx, heightPx, pixels }
}

describe.each(databaseKinds)('over %s', (kind) => {
  let world: ServedWorld
  beforeAll(async () => {
    world = await serveWorld(kind)
  }, 60_000)
  afterAll(() => world[Symbol.asyncDispose]())

  let tenant = ''
  let tenants = 0
  beforeEach(() => {
    tenant = `tenant-${++tenants}`
  })

  const files = () => readdirSync(world.folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
  const create = async (more: { uploadId?: string; [field: string]: unknown } = {}, client = world.client) => {
    const uploadId = more.uploadId ?? (await world.upload(tenant, await cutOutPhoto()))
    return client.createSubject({ tenant, label: 'dog', ...more, uploadId })
  }
  const bytesOf = async (token: string, range: object = {}) => {
    const { header, bytes } = await world.client.readAsset({ token, ...range })
    return { header, bytes: Buffer.concat(await Array.fromAsync(bytes)) }
  }
  const isWhite = async (png: Buffer, x: number, y: number) => {
    const { data, info } = await sharp(png).greyscale().raw().toBuffer({ resolveWithObject: true })
    return data[y * info.width + x] === 255
  }
  const withSegmentation = () => ({
    ...world.manifest,
    networks: { ...world.manifest.networks, segmentation: world.manifest.networks.clipVision },
  })

  test('a cut-out is its own mask; photo and mask are kept at the working size', async () => {
    const { subject, problem } = await create()
    expect(problem).toBeNull()
    expect(subject).toMatchObject({ label: 'dog', status: 'SUBJECT_STATUS_READY', verdict: { policyVersion: 'test' } })
    const { sizePx } = world.manifest.settings
    for (const asset of [subject!.image!, subject!.mask!]) {
      const { header, bytes } = await bytesOf(asset.token)
      expect(header).toMatchObject({ contentType: 'image/png', byteLength: bytes.length })
      expect(asset).toMatchObject({ byteLength: bytes.length, widthPx: sizePx, heightPx: sizePx })
      expect(await sharp(bytes).metadata()).toMatchObject({ format: 'png', width: sizePx, height: sizePx })
    }
    const { bytes: mask } = await bytesOf(subject!.mask!.token)
    expect([await isWhite(mask, 64, 64), await isWhite(mask, 4, 4)]).toEqual([true, false])
    expect((await world.client.getSubjects({ tenant, ids: [subject!.id] })).subjects).toEqual([subject])
  })

  test('what is kept is what a runner draws, to the last pixel', async () => {
    const { subject } = await create()
    const settings = { prompt: 'a dog on the moon' }
    const { generation } = await world.client.createGeneration({ tenant, subjectId: subject!.id, settings })
    const run = await world.runStore.begin(generation!.id)
    // It throws where the pixels have another hash than those that were read.
    expect(
      await readStoredSubject(
        world.runStore,
        run!,
        createContentCache(1, () => 1),
        world.manifest.settings.sizePx,
      ),
    ).toMatchObject({ label: 'dog' })
  })

  test('an asset is read in ranges', async () => {
    const { subject } = await create()
    const { token, byteLength } = subject!.image!
    const { bytes: whole } = await bytesOf(token)
    expect((await bytesOf(token, { offset: 10, length: 20 })).bytes).toEqual(whole.subarray(10, 30))
    expect((await bytesOf(token, { offset: byteLength - 5 })).bytes).toEqual(whole.subarray(-5))
    expect((await bytesOf(token, { offset: byteLength })).bytes).toHaveLength(0)
    expect((await bytesOf(token, { offset: 3, length: 10 ** 9 })).bytes).toEqual(whole.subarray(3))
    await expect(bytesOf(token, { offset: byteLength + 1 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(bytesOf('forged')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('a large asset travels in pieces of at most 256 KiB', async () => {
    const bytes = Buffer.alloc(700_000, 'moma')
    const row = (await world.assets.write(tenant, [{ ...newAsset(''), bytes }]))[0]!
    await world.db.run((queries) => world.assets.keep(queries, [row]))
    const pieces = await Array.fromAsync(world.raw.serverStream('ReadAsset', { token: row.token! }))
    const data = pieces.slice(1).map((piece) => piece.data!)
    expect(Buffer.concat(data).equals(bytes)).toBe(true)
    expect(Math.max(...data.map(({ length }) => length))).toBeLessThanOrEqual(2 ** 18)
  })

  test('an uploaded mask says what the subject is', async () => {
    const uploadId = await world.upload(tenant, await opaquePhoto())
    const { subject } = await create({ uploadId, maskUploadId: await world.upload(tenant, await maskOfPhoto()) })
    const { bytes: mask } = await bytesOf(subject!.mask!.token)
    expect([await isWhite(mask, 64, 64), await isWhite(mask, 4, 4)]).toEqual([true, false])
  })

  describe('a photo that says nothing of its subject', () => {
    test('needs a mask where the bundle has no segmentation', async () => {
      const uploadId = await world.upload(tenant, await opaquePhoto())
      for (const client of [world.client, await world.serve({ manifest: withSegmentation() })]) {
        const { problem } = await create({ uploadId }, client)
        expect(problem).toMatchObject({ kind: 'invalidInput', invalidInput: { field: 'maskUploadId' } })
        expect(problem!.message).toContain('no segmentation network')
      }
    })

    test('is looked at by vision where it has', async () => {
      const client = await world.serve({ manifest: withSegmentation(), vision: { segment } })
      const { subject } = await create({ uploadId: await world.upload(tenant, await opaquePhoto()) }, client)
      const { bytes: mask } = await bytesOf(subject!.mask!.token)
      expect([await isWhite(mask, 64, 64), await isWhite(mask, 4, 4)]).toEqual([true, false])
    })

    test('may be sent again when vision is away', async () => {
      const away = async () => {
        throw new MeshError('UNAVAILABLE', 'vision is not available')
      }
      const client = await world.serve({ manifest: withSegmentation(), vision: { segment: away } })
      const { problem } = await create({ uploadId: await world.upload(tenant, await opaquePhoto()) }, client)
      expect(problem).toMatchObject({ kind: 'failed', failed: { stage: 'STAGE_VISION', retryable: true } })
    })
  })

  test('of a rejected subject nothing but the verdict is kept, the uploads included', async () => {
    const client = await world.serve({ safety: { reviewPrompt, reviewSubject: async () => person } })
    const before = files().length
    const uploadId = await world.upload(tenant, await cutOutPhoto())
    const { problem, subject } = await create({ uploadId, idempotencyKey: 'once' }, client)
    expect(subject).toBeNull()
    expect(problem).toMatchObject({
      kind: 'personSubjectRejected',
      personSubjectRejected: { verdict: { decision: 'DECISION_REJECTED_PERSON', findings: [{ detector: 'faces' }] } },
    })
    expect(files()).toHaveLength(before)
    const { subjects } = await world.client.listSubjects({ tenant, pageSize: 10 })
    expect(subjects).toMatchObject([{ status: 'SUBJECT_STATUS_REJECTED', image: null, mask: null }])
    // Asked again, it is the same answer, without another look.
    expect((await create({ uploadId, idempotencyKey: 'once' })).problem).toEqual(problem)
    const drawn = await world.client.createGeneration({ tenant, subjectId: subjects[0]!.id, settings: { prompt: 'p' } })
    expect(drawn.problem).toMatchObject({ kind: 'personSubjectRejected' })
  })

  test('without a verdict nothing is kept, and asking again can help', async () => {
    const away = async () => {
      throw new MeshError('UNAVAILABLE', 'safety is not available')
    }
    const client = await world.serve({ safety: { reviewPrompt, reviewSubject: away } })
    const uploadId = await world.upload(tenant, await cutOutPhoto())
    const before = files().length
    const { problem } = await create({ uploadId }, client)
    expect(problem).toMatchObject({ kind: 'failed', failed: { retryable: true } })
    expect(files()).toHaveLength(before)
    expect((await world.client.listSubjects({ tenant, pageSize: 10 })).subjects).toEqual([])
    expect((await create({ uploadId })).problem).toBeNull()
  })

  describe('who is asked, in turn', () => {
    /** A service that tells whom it asks, before a judge of words with this verdict. */
    const watched = async (words: Verdict) => {
      const asked: string[] = []
      const client = await world.serve({
        safety: {
          reviewPrompt: async ({ label, prompt, negativePrompt, stage }) => {
            asked.push(`words ${label}${prompt}${negativePrompt} ${stage}`)
            return words
          },
          reviewSubject: async ({ reference, mask, label }) => {
            asked.push(`photo ${label} ${reference.widthPx} ${mask.pixels[64 * 128 + 64]} ${mask.pixels[0]}`)
            return person
          },
        },
        vision: {
          segment: async (photo) => {
            asked.push('segmentation')
            return segment(photo)
          },
        },
        manifest: withSegmentation(),
      })
      return { asked, client }
    }
    const opaque = async () => ({ uploadId: await world.upload(tenant, await opaquePhoto()) })
    const masked = async () => ({ ...(await opaque()), maskUploadId: await world.upload(tenant, await maskOfPhoto()) })

    test('the judge of words, and of a photo with a mask the judge of photos: no network but its own', async () => {
      const { asked, client } = await watched(allowed)
      await create(await masked(), client)
      await create({}, client)
      expect(asked).toEqual(['words dog SUBJECT', 'photo dog 128 255 0', 'words dog SUBJECT', 'photo dog 128 255 0'])
    })

    test('segmentation between them, of a photo that says nothing of its subject', async () => {
      const { asked, client } = await watched(allowed)
      await create(await opaque(), client)
      expect(asked).toEqual(['words dog SUBJECT', 'segmentation', 'photo dog 128 255 0'])
    })

    test('nobody else where the words decide: not even what would decode the photo', async () => {
      const { asked, client } = await watched(person)
      const before = files().length
      const damaged = { uploadId: await world.upload(tenant, (await opaquePhoto()).subarray(0, 200)) }
      for (const photo of [await opaque(), damaged]) {
        expect((await create(photo, client)).problem).toMatchObject({
          kind: 'personSubjectRejected',
          personSubjectRejected: { verdict: { decision: 'DECISION_REJECTED_PERSON' } },
        })
      }
      expect(asked).toEqual(['words dog SUBJECT', 'words dog SUBJECT'])
      expect(files()).toHaveLength(before)
      const { subjects } = await world.client.listSubjects({ tenant, pageSize: 10 })
      expect(subjects).toMatchObject(Array(2).fill({ status: 'SUBJECT_STATUS_REJECTED', image: null, mask: null }))
    })

    test('a label that is refused stands in no line, and its answer is the same under the same key', async () => {
      const { asked, client } = await watched(person)
      const photo = { ...(await opaque()), idempotencyKey: 'once' }
      const answers = await Promise.all([create(photo, client), create(photo, client), create(photo, client)])
      expect(answers.map(({ problem }) => problem)).toEqual(Array(3).fill(answers[0]!.problem))
      expect(answers[0]!.problem).toMatchObject({ kind: 'personSubjectRejected' })
      expect(asked).not.toContain('segmentation')
      expect((await world.client.listSubjects({ tenant, pageSize: 10 })).subjects).toHaveLength(1)
    })
  })

  test.each([
    ['an empty label', { label: ' ' }, 'label'],
    ['a label with NUL', { label: 'd\0g' }, 'label'],
    ['a long label', { label: 'x'.repeat(101) }, 'label'],
    ['a long idempotency key', { idempotencyKey: 'x'.repeat(256) }, 'idempotencyKey'],
  ])('%s is refused', async (_, more, field) => {
    expect((await create(more)).problem).toMatchObject({ kind: 'invalidInput', invalidInput: { field } })
  })

  test('uploads that are unknown, not written, damaged or no mask are refused by their field', async () => {
    expect((await create({ uploadId: 'up_unknown' })).problem).toMatchObject({
      kind: 'notFound',
      notFound: { id: 'up_unknown' },
    })
    const { uploadId: empty } = await world.client.createUpload({ tenant, contentType: 'image/png', byteLength: 9 })
    const damaged = await world.upload(tenant, (await cutOutPhoto()).subarray(0, 200))
    const black = await sharp({ create: { width: 96, height: 96, channels: 3, background: '#000' } })
      .png()
      .toBuffer()
    for (const [more, field] of [
      [{ uploadId: empty }, 'uploadId'],
      [{ uploadId: damaged }, 'uploadId'],
      [{ maskUploadId: damaged }, 'maskUploadId'],
      [{ maskUploadId: await world.upload(tenant, black) }, 'maskUploadId'],
    ] as const) {
      expect((await create(more)).problem).toMatchObject({ kind: 'invalidInput', invalidInput: { field } })
    }
  })

  test('the same key gives the same subject, also when asked at once, and refuses another request', async () => {
    const uploadId = await world.upload(tenant, await cutOutPhoto())
    const again = () => create({ uploadId, idempotencyKey: 'key' })
    const answers = await Promise.all([again(), again(), again(), again()])
    expect(new Set(answers.map(({ subject }) => subject?.id)).size).toBe(1)
    expect((await world.client.listSubjects({ tenant, pageSize: 10 })).subjects).toHaveLength(1)
    expect(await again()).toEqual(answers[0])
    expect((await create({ uploadId, label: 'cat', idempotencyKey: 'key' })).problem).toMatchObject({
      kind: 'conflict',
      conflict: { idempotencyKey: 'key' },
    })
    const states = await world.fileStates()
    expect({ WRITING: states.WRITING, DOOMED: states.DOOMED }).toEqual({ WRITING: undefined, DOOMED: undefined })
  })

  describe('photos that wait to be read', () => {
    /** A service whose judge waits until it is told to go on; what it judges is said by the label. */
    const heldService = async (limits: object) => {
      const judged: string[] = []
      const { promise: told, resolve: goOn } = Promise.withResolvers<void>()
      const reviewSubject = async ({ label }: { readonly label: string }) => {
        judged.push(label)
        await told
        return allowed
      }
      const client = await world.serve({
        safety: { reviewPrompt, reviewSubject },
        limits: { ...defaultLimits, ...limits },
      })
      return { client, judged, goOn }
    }

    test('fill the line of their own tenant alone, and that it is full is a problem with a time', async () => {
      const { client, judged, goOn } = await heldService({ maxSubjectsWaiting: 3 })
      const [uploadId, other] = [
        await world.upload(tenant, await cutOutPhoto()),
        await world.upload('neighbour', await cutOutPhoto()),
      ]
      const refused: unknown[] = []
      const imported = Array.from({ length: 7 }, async (_, index) => {
        const { subject, problem } = await create({ uploadId, label: `dog ${index}` }, client)
        if (problem) refused.push(problem)
        return subject
      })
      void Promise.allSettled(imported)
      await until(() => refused.length === 2 && judged.length === 2)
      for (const problem of refused) {
        expect(problem).toMatchObject({
          kind: 'limitExceeded',
          limitExceeded: { limit: 'subjects', retryAfterMs: expect.any(Number) },
          message: '3 photos wait to be read, allowed are 3',
        })
      }
      const others = client.createSubject({ tenant: 'neighbour', uploadId: other, label: 'cat' })
      goOn()
      expect(await others).toMatchObject({ subject: { label: 'cat' }, problem: null })
      expect((await Promise.all(imported)).filter((subject) => subject !== null)).toHaveLength(5)
    })

    test('are told to come back before whoever sent them gives up', async () => {
      const { client, judged, goOn } = await heldService({ subjectWaitMs: 50 })
      const read = [create({}, client), create({}, client)]
      void Promise.allSettled(read)
      await until(() => judged.length === 2)
      expect((await create({}, client)).problem).toMatchObject({
        kind: 'limitExceeded',
        limitExceeded: { limit: 'subjects', retryAfterMs: expect.any(Number) },
      })
      goOn()
      for (const { problem } of await Promise.all(read)) expect(problem).toBeNull()
    })
  })

  test("another tenant's subjects and uploads are unknown", async () => {
    const { subject } = await create({ idempotencyKey: 'key' })
    const uploadId = await world.upload(tenant, await cutOutPhoto())
    const other = 'other'
    const { id } = subject!
    expect((await world.client.getSubjects({ tenant: other, ids: [id] })).subjects).toEqual([])
    expect((await world.client.listSubjects({ tenant: other, pageSize: 10 })).subjects).toEqual([])
    expect((await world.client.deleteSubject({ tenant: other, id })).problem).toMatchObject({ kind: 'notFound' })
    expect((await create({ tenant: other, uploadId })).problem).toMatchObject({ kind: 'notFound' })
    const settings = { prompt: 'a dog' }
    const drawn = await world.client.createGeneration({ tenant: other, subjectId: id, settings })
    expect(drawn.problem).toMatchObject({ kind: 'notFound', notFound: { id } })
    await expect(world.client.getSubjects({ tenant: 'Not A Tenant', ids: [] })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
  })

  test('deletion takes pictures, previews, masks and uploads along, and the second time there is nothing', async () => {
    const before = files().length
    const { subject } = await create()
    const { id, image } = subject!
    const generations = []
    for (let index = 0; index < 2; index++) {
      const { generation } = await world.client.createGeneration({ tenant, subjectId: id, settings: { prompt: 'p' } })
      generations.push(generation!.id)
    }
    const [done, running] = await Promise.all(generations.map((one) => world.runStore.begin(one)))
    const newImage = { index: 0, seed: 1, image: newAsset('i'), mask: newAsset('m'), verdict: person }
    await world.runStore.succeed(done!, [newImage])
    const kept = await world.runStore.keepPreviews(running!, { preview: newAsset('p') })

    expect(await world.client.deleteSubject({ tenant, id })).toMatchObject({ id, problem: null })
    expect(files()).toHaveLength(before)
    expect((await world.client.getSubjects({ tenant, ids: [id] })).subjects).toEqual([])
    expect((await world.client.getGenerations({ tenant, ids: generations })).generations).toEqual([])
    for (const { token } of [image!, kept!.preview]) {
      await expect(bytesOf(token)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    }
    expect(await world.runStore.isStopped(running!)).toBe(true)
    expect(await world.runStore.succeed(running!, [newImage])).toBe(false)
    expect(files()).toHaveLength(before)
    expect((await world.client.deleteSubject({ tenant, id })).problem).toMatchObject({ kind: 'notFound' })
  })

  test('a run that succeeds while its subject is deleted leaves no files', async () => {
    const before = files().length
    for (let round = 0; round < 5; round++) {
      const subject = await world.addSubject(tenant)
      const run = await world.runStore.begin((await world.addGeneration(subject)).id)
      const image = { index: 0, seed: 1, image: newAsset('i'), mask: newAsset('m'), verdict: person }
      await Promise.all([world.runStore.succeed(run!, [image]), world.client.deleteSubject({ tenant, id: subject.id })])
    }
    expect(files()).toHaveLength(before)
  })

  test('pages go from the newest to the oldest, without gaps where something is added meanwhile', async () => {
    const made: string[] = []
    for (let index = 0; index < 5; index++) made.unshift((await world.addSubject(tenant)).id)
    const ordered = (await world.client.listSubjects({ tenant, pageSize: 100 })).subjects.map(({ id }) => id)
    expect([...ordered].sort()).toEqual([...made].sort())
    const first = await world.client.listSubjects({ tenant, pageSize: 2 })
    await world.addSubject(tenant)
    const second = await world.client.listSubjects({ tenant, pageSize: 2, pageToken: first.nextPageToken })
    const third = await world.client.listSubjects({ tenant, pageSize: 2, pageToken: second.nextPageToken })
    const pages = [first, second, third].map(({ subjects }) => subjects.map(({ id }) => id))
    expect(pages).toEqual([ordered.slice(0, 2), ordered.slice(2, 4), ordered.slice(4)])
    expect(third.nextPageToken).toBe('')
    const fromEdge = await world.client.listSubjects({ tenant, pageSize: 1, pageToken: first.pageTokens[0]! })
    expect(fromEdge.subjects[0]!.id).toBe(ordered[1])
    for (const request of [{ pageSize: 0 }, { pageSize: 101 }, { pageSize: 1, pageToken: 'bm9uc2Vuc2U' }]) {
      await expect(world.client.listSubjects({ tenant, ...request })).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
      })
    }
  })
})
