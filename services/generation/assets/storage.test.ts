import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { listenAt } from '../../lib/mesh/address.ts'
import { type AssetStorage, type BucketTimeouts, bucketStorage, folderStorage } from './storage.ts'

const credentials = { AWS_ACCESS_KEY_ID: 'test', AWS_SECRET_ACCESS_KEY: 'test' }
beforeAll(() => void Object.assign(process.env, credentials))
afterAll(() => {
  for (const name of Object.keys(credentials)) delete process.env[name]
})

/** As much of S3 as is asked of it: objects by path. */
async function openBucket() {
  const objects = new Map<string, Buffer>()
  const server = createServer(async (request, response) => {
    const path = new URL(request.url!, 'http://bucket').pathname
    const body = await buffer(request)
    const object = objects.get(path)
    if (request.method === 'PUT') objects.set(path, body)
    if (request.method === 'DELETE') objects.delete(path)
    if (request.method === 'GET' && !object) {
      response.writeHead(404, { 'content-type': 'application/xml' })
      response.end('<Error><Code>NoSuchKey</Code><Message>none</Message></Error>')
    } else response.writeHead(request.method === 'DELETE' ? 204 : 200).end(request.method === 'GET' ? object : '')
  })
  const { host, port } = await listenAt(server, { host: '127.0.0.1', port: 0 })
  const storage = await bucketStorage({ bucket: 'pictures', region: 'us-east-1', endpoint: `http://${host}:${port}` })
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { storage, close }
}

async function openFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'moma-assets-'))
  return { storage: folderStorage(folder), close: () => rmSync(folder, { recursive: true, force: true }) }
}

describe.each([
  ['a folder', openFolder],
  ['a bucket', openBucket],
])('in %s', (_, open) => {
  let storage: AssetStorage
  let close: () => void
  beforeAll(async () => {
    ;({ storage, close } = await open())
  }, 30_000)
  afterAll(() => close())

  const bytes = Buffer.alloc(300_000, 'pictures of things ')
  const streamed = async (key: string, offset: number, length: number) =>
    Buffer.concat(await Array.fromAsync(storage.stream(key, offset, length)))

  test('what was written is read, whole and in part, until it is deleted', async () => {
    await storage.write('ab/whole', bytes)
    expect(bytes.equals(await storage.read('ab/whole'))).toBe(true)
    expect(bytes.equals(await streamed('ab/whole', 0, bytes.length))).toBe(true)
    expect((await streamed('ab/whole', 200_000, 50_000)).equals(bytes.subarray(200_000, 250_000))).toBe(true)
    await storage.write('ab/whole', Buffer.from('new'))
    expect(Buffer.from(await storage.read('ab/whole')).toString()).toBe('new')
    await storage.delete('ab/whole')
    await storage.delete('ab/whole')
    await expect(storage.read('ab/whole')).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(streamed('ab/whole', 0, 1)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('a stream is written as it comes, and what it throws is thrown', async () => {
    const pieces = async function* (error?: Error) {
      for (let start = 0; start < bytes.length; start += 70_000) yield bytes.subarray(start, start + 70_000)
      if (error) throw error
    }
    await storage.write('cd/stream', pieces())
    expect(bytes.equals(await storage.read('cd/stream'))).toBe(true)
    const refused = new Error('it does not fit')
    await expect(storage.write('cd/broken', pieces(refused))).rejects.toBe(refused)
  })
})

test('a bucket that does not answer is UNAVAILABLE', async () => {
  const { storage, close } = await openBucket()
  close()
  await expect(storage.write('ef/none', Buffer.from('x'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
}, 30_000)

describe('a bucket that takes a request and says nothing more', () => {
  const within = { connectMs: 1000, silentMs: 60_000, answerMs: 60_000 }
  const servers: Server[] = []
  afterEach(() => {
    for (const server of servers.splice(0)) server.close().closeAllConnections()
  })
  const open = async (listener: RequestListener, timeouts: Partial<BucketTimeouts>) => {
    const server = createServer(listener)
    servers.push(server)
    const { host, port } = await listenAt(server, { host: '127.0.0.1', port: 0 })
    const where = { bucket: 'pictures', region: 'us-east-1', endpoint: `http://${host}:${port}` }
    return bucketStorage(where, { ...within, ...timeouts })
  }
  const inTime = (work: Promise<unknown>) =>
    Promise.race([work, sleep(20_000, undefined, { ref: false }).then(() => Promise.reject(new Error('too long')))])
  const silent: RequestListener = (request) => void request.resume()

  test.each([{ silentMs: 200 }, { answerMs: 200 }])('is UNAVAILABLE (%j)', async (timeouts) => {
    const storage = await open(silent, timeouts)
    const asked = [storage.read('ab/silent'), storage.write('ab/silent', Buffer.from('x')), storage.delete('ab/silent')]
    await Promise.all(asked.map((one) => expect(inTime(one)).rejects.toMatchObject({ code: 'UNAVAILABLE' })))
  })

  test('in the middle of a file too', async () => {
    const storage = await open((_, response) => void response.writeHead(200, { 'content-length': 100 }).write('half'), {
      silentMs: 200,
    })
    await expect(inTime(storage.read('ab/half'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    const pieces: Uint8Array[] = []
    const read = async () => {
      for await (const piece of storage.stream('ab/half', 0, 100)) pieces.push(piece)
    }
    await expect(inTime(read())).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(Buffer.concat(pieces).toString()).toBe('half')
  })
})
