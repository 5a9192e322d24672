import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import express from 'express'
import { listenAt } from '../../services/lib/mesh/address.ts'
import { MeshError } from '../../services/lib/mesh/errors.ts'
import { silentLogger } from '../../services/lib/mesh/log.ts'
import { serveAssets } from './assets.ts'

// A service that says what a picture is, and then may not have its bytes.

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

/** Serves one picture that gives `pieces` and then breaks off with `error`; says where, and what was logged. */
async function serve(pieces: readonly string[], error?: Error, byteLength = 10) {
  const logged: string[] = []
  const note = (_: object, message: string) => void logged.push(message)
  const generation = {
    readAsset: async () => ({
      header: { contentType: 'image/png', byteLength, sha256: 'abc' },
      bytes: (async function* () {
        for (const piece of pieces) yield Buffer.from(piece)
        if (!error) return
        if (pieces.length > 0) await sleep(50)
        throw error
      })(),
    }),
  }
  const log = Object.assign(Object.create(silentLogger), { warn: note, error: note })
  const app = express()
    .disable('etag')
    .get('/:token', serveAssets({ generation, crossOrigin: false, log }))
  const server = createServer(app)
  const { port } = await listenAt(server, { host: '127.0.0.1', port: 0 })
  cleanups.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${port}/token`, logged }
}

const unavailable = new MeshError('UNAVAILABLE', "generation: files can't be read now, try again later")
const gone = new MeshError('NOT_FOUND', 'there is no such file any more')
const torn = new MeshError('DATA_LOSS', 'the file ends after 0 of 10 bytes')

describe.each([
  { name: 'storage that is away', error: unavailable, status: 503, detail: 'try again later' },
  { name: 'a file that is gone', error: gone, status: 404, detail: 'there is no such picture' },
  { name: 'a file that is empty and should not be', error: torn, status: 500, detail: 'something went wrong here' },
])('$name', ({ error, status, detail }) => {
  test.each([
    ['GET', {}],
    ['GET', { range: 'bytes=2-5' }],
    ['HEAD', {}],
  ])('is said to %s %j', async (method, headers) => {
    const { url } = await serve([], error)
    const response = await fetch(url, { method, headers: headers as Record<string, string> })
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
    expect(response.headers.get('cache-control')).toBe('no-store')
    expect([response.headers.get('etag'), response.headers.get('content-range')]).toEqual([null, null])
    if (method === 'GET') expect(await response.json()).toMatchObject({ status, detail })
  })
})

test('what breaks off in the middle ends the connection, and is logged', async () => {
  const { url, logged } = await serve(['01234'], unavailable)
  const response = await fetch(url)
  expect(response.status).toBe(200)
  await expect(response.text()).rejects.toThrow('terminated')
  expect(logged).toEqual(['asset broke off'])
})

test.each(['GET', 'HEAD'])('an empty file is answered to %s', async (method) => {
  const { url } = await serve([], undefined, 0)
  const response = await fetch(url, { method })
  expect([response.status, response.headers.get('content-length')]).toEqual([200, '0'])
  expect(await response.text()).toBe('')
})
