import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { eq } from 'drizzle-orm'
import { subjects } from './db/schema.ts'
import { databaseKinds } from './db/test-database.ts'
import { defaultLimits } from './limits.ts'
import { sweepOnce } from './sweep.ts'
import { inPieces, opaquePhoto, type ServedWorld, serveWorld, until } from './test-server.ts'

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const tenant = 't'
const png = 'image/png'

describe.each(databaseKinds)('over %s', (kind) => {
  let world: ServedWorld
  let photo: Buffer
  beforeAll(async () => {
    world = await serveWorld(kind)
    photo = await opaquePhoto()
  }, 60_000)
  afterAll(() => world[Symbol.asyncDispose]())

  const files = () => readdirSync(world.folder, { recursive: true, withFileTypes: true }).filter((one) => one.isFile())
  const promise = (more: object = {}) =>
    world.client.createUpload({ tenant, contentType: png, byteLength: photo.length, ...more })
  const write = (token: string, bytes: Uint8Array = photo, contentType = png) =>
    world.client.writeUpload({ token, contentType }, inPieces(bytes))

  test('a promised file is kept, whole, and nobody can read it', async () => {
    const { uploadId, token, expireTime, problem } = await promise({ sha256: sha256(photo).toUpperCase() })
    expect(problem).toBeNull()
    expect(Number(expireTime!.seconds) * 1000 - Date.now()).toBeGreaterThan(14 * 60_000)
    expect(await write(token, photo, 'image/PNG; charset=binary')).toMatchObject({ uploadId, problem: null })
    await expect(world.client.readAsset({ token })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('written again it answers the same for the same bytes, and a problem for others', async () => {
    const { uploadId, token } = await promise()
    await write(token)
    expect(await write(token)).toMatchObject({ uploadId, problem: null })
    const other = Buffer.from(photo)
    other[other.length - 1]! ^= 1
    expect((await write(token, other)).problem).toMatchObject({ kind: 'invalidInput', invalidInput: { field: 'body' } })
  })

  test('written many times at once, one file is kept', async () => {
    const { uploadId, token } = await promise()
    const before = files().length
    const answers = await Promise.all([1, 2, 3, 4].map(() => write(token)))
    for (const answer of answers) expect(answer).toMatchObject({ uploadId, problem: null })
    expect(files()).toHaveLength(before + 1)
  })

  const gif = Buffer.from('R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=', 'base64')
  test.each([
    ['too short', (photo: Buffer) => photo.subarray(0, -1), {}, 'bytes, allowed are'],
    ['too long', (photo: Buffer) => Buffer.concat([photo, Buffer.alloc(1)]), {}, 'more than'],
    ['empty', () => Buffer.alloc(0), {}, 'has 0 bytes'],
    ['with another checksum', (photo: Buffer) => photo, { sha256: sha256(gif) }, 'SHA-256 is'],
    ['a GIF that says it is a PNG', () => gif, { byteLength: gif.length }, 'the file is gif, allowed is image/png'],
    ['no picture at all', (photo: Buffer) => Buffer.alloc(photo.length, 'hello '), {}, 'the file is text'],
  ])('a file that is %s is refused, and nothing of it is kept', async (_, change, more, sentence) => {
    const { token } = await promise(more)
    const before = { files: files().length, states: await world.fileStates() }
    const { problem, uploadId } = await write(token, change(photo))
    expect(problem).toMatchObject({ kind: 'invalidInput', invalidInput: { field: 'body' } })
    expect(problem!.message).toContain(sentence)
    expect(uploadId).toBe('')
    expect({ files: files().length, states: await world.fileStates() }).toEqual(before)
    // The promise stands: what fits is taken.
    if (Object.keys(more).length === 0) expect((await write(token)).problem).toBeNull()
  })

  test('a file of another type than promised is refused by its header', async () => {
    const { token } = await promise()
    expect((await write(token, photo, 'image/jpeg')).problem).toMatchObject({
      message: 'contentType is "image/jpeg", allowed is image/png as promised',
      invalidInput: { field: 'contentType' },
    })
  })

  test('a file that is too long is not read to its end', async () => {
    const { token } = await promise()
    let sent = 0
    const endless = async function* () {
      for (; sent < 10_000; sent++) yield Buffer.alloc(10_000)
    }
    const { problem } = await world.client.writeUpload({ token, contentType: png }, endless())
    expect(problem).not.toBeNull()
    expect(sent).toBeLessThan(5000)
  })

  test('a forged token and one whose time is over are worth nothing', async () => {
    expect((await write('forged')).problem).toMatchObject({ kind: 'notFound' })
    const { token } = await promise()
    world.advance(defaultLimits.uploadTokenMs + 1)
    expect((await write(token)).problem).toMatchObject({ kind: 'notFound' })
  })

  test('who goes away in the middle leaves nothing', async () => {
    const { token } = await promise()
    const before = files().length
    const gone = new AbortController()
    const cut = async function* () {
      yield photo.subarray(0, 100)
      await until(async () => (await world.fileStates()).WRITING === 1)
      gone.abort(new Error('gone'))
      yield photo.subarray(100, 200)
    }
    await expect(world.client.writeUpload({ token, contentType: png }, cut(), gone.signal)).rejects.toThrow('gone')
    await until(async () => files().length === before && (await world.fileStates()).WRITING === undefined)
  })

  /** Some of the photo, and then nothing more. */
  const stalled = async function* () {
    yield photo.subarray(0, 100)
    await new Promise(() => undefined)
  }

  test('one tenant that sends no more than beginnings keeps no other from sending', async () => {
    const gone = new AbortController()
    const stalling = Array.from({ length: 40 }, async () => {
      const { token } = await promise()
      await world.client.writeUpload({ token, contentType: png }, stalled(), gone.signal).catch(() => null)
    })
    await until(async () => (await world.fileStates()).WRITING === 8)
    await world.upload('other', photo)
    expect(await world.fileStates()).toMatchObject({ WRITING: 8 })
    gone.abort()
    await Promise.all(stalling)
    await until(async () => (await world.fileStates()).WRITING === undefined)
  })

  test('silence in the middle ends an upload, and slowness does not', async () => {
    const client = await world.serve({ limits: { ...defaultLimits, uploadSilentMs: 1000 } })
    const { uploadId, token } = await promise()
    const before = { files: files().length, states: await world.fileStates() }
    const { problem } = await client.writeUpload({ token, contentType: png }, stalled())
    expect(problem).toMatchObject({
      message: 'nothing of the file came for 1000 ms, allowed are shorter pauses; send it again',
      invalidInput: { field: 'body' },
    })
    expect({ files: files().length, states: await world.fileStates() }).toEqual(before)
    const slow = async function* () {
      for await (const piece of inPieces(photo, Math.ceil(photo.length / 15))) {
        await sleep(100)
        yield piece
      }
    }
    expect(await client.writeUpload({ token, contentType: png }, slow())).toMatchObject({ uploadId, problem: null })
  })

  test.each([
    ['files', () => ({ maxUnusedUploads: 3 })],
    ['bytes', (byteLength: number) => ({ maxUnusedUploadBytes: 3.5 * byteLength })],
  ])('only so many %s may wait, written or not, until a subject is made of them', async (what, limits) => {
    const byteLength = photo.length
    const client = await world.serve({ limits: { ...defaultLimits, ...limits(byteLength) } })
    const promise = (tenant = what) => client.createUpload({ tenant, contentType: png, byteLength })
    const written = await promise()
    await client.writeUpload({ token: written.token, contentType: png }, inPieces(photo))
    for (let count = 0; count < 2; count++) expect((await promise()).problem).toBeNull()

    const { problem } = await promise()
    expect(problem).toMatchObject({ kind: 'limitExceeded', limitExceeded: { limit: 'uploads' } })
    expect(problem!.message).toContain(`3 uploads with ${3 * byteLength} bytes wait`)
    // The promises are forgotten first.
    expect(problem!.limitExceeded!.retryAfterMs).toBeLessThanOrEqual(defaultLimits.uploadTokenMs)
    expect((await promise('other')).problem).toBeNull()

    const { id } = await world.addSubject(what)
    await world.db.run((queries) =>
      queries
        .update(subjects)
        .set({ uploadIds: [written.uploadId] })
        .where(eq(subjects.id, id)),
    )
    expect((await promise()).problem).toBeNull()
    expect((await promise()).problem).toMatchObject({ kind: 'limitExceeded' })
    world.advance(defaultLimits.uploadTokenMs + 1)
    expect((await promise()).problem).toBeNull()
    await client.deleteSubject({ tenant: what, id })
  })

  test('of many promises at once no more are given than may wait', async () => {
    const client = await world.serve({ limits: { ...defaultLimits, maxUnusedUploads: 5 } })
    const asked = { tenant: 'at-once', contentType: png, byteLength: photo.length }
    const answers = await Promise.all(Array.from({ length: 20 }, () => client.createUpload(asked)))
    expect(answers.filter(({ problem }) => problem === null)).toHaveLength(5)
  })

  test.each([
    [{ contentType: 'image/svg+xml' }, 'contentType'],
    [{ byteLength: 0 }, 'byteLength'],
    [{ byteLength: defaultLimits.maxUploadBytes + 1 }, 'byteLength'],
    [{ sha256: 'abc' }, 'sha256'],
  ])('a promise of %j is refused', async (more, field) => {
    expect((await promise(more)).problem).toMatchObject({ kind: 'invalidInput', invalidInput: { field } })
  })

  test('the header comes first and once', async () => {
    const stream = (...requests: object[]) => world.raw.clientStream('WriteUpload', () => requests)
    await expect(stream({ data: photo })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(stream()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    const { token } = await promise()
    const header = { header: { token, contentType: png } }
    await expect(stream(header, header)).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  test('what nobody made a subject of is swept, and so is what was left half written', async () => {
    const { token } = await promise()
    await write(token)
    await promise()
    await world.assets.write(tenant, [{ bytes: photo, contentType: png, widthPx: 1, heightPx: 1 }])
    await world.assets.reserve(tenant, 2)
    world.advance(defaultLimits.uploadKeptMs + 1)
    await sweepOnce({ ...world, limits: defaultLimits })
    await sweepOnce({ ...world, limits: defaultLimits })
    expect(await world.fileStates()).toEqual({})
    expect(files()).toHaveLength(0)
  })
})
