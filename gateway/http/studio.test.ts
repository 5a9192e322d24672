import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import express from 'express'
import { serveStudio } from './studio.ts'

const folder = mkdtempSync(join(tmpdir(), 'moma-studio-'))
mkdirSync(join(folder, 'studio'))
writeFileSync(join(folder, 'index.html'), '<!doctype html><title>studio</title>')
writeFileSync(join(folder, 'studio/main-abc.js'), 'console.log(1)')
const server = createServer(express().use(serveStudio(folder)!))
const get = (path: string) => fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`)

beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)))
afterAll(() => {
  server.close()
  rmSync(folder, { recursive: true })
})

test('the page is looked at anew each time, and may load from here alone', async () => {
  const page = await get('/')
  expect(page.headers.get('cache-control')).toBe('no-cache')
  const policy = page.headers.get('content-security-policy')
  expect(policy).toContain("script-src 'self';")
  expect(policy).not.toMatch(/unsafe|https?:|\*/)
  expect(await page.text()).toContain('<title>studio</title>')
})

test('what has a name of its content is kept for ever, and travels packed', async () => {
  const script = await get('/studio/main-abc.js')
  expect(script.headers.get('cache-control')).toContain('immutable')
  expect(script.headers.get('content-encoding')).toBe('gzip')
  expect(script.headers.get('content-type')).toContain('text/javascript')
  expect(await script.text()).toBe('console.log(1)')
})

test('nothing else of the disk can be asked for', async () => {
  expect((await get('/index.html')).status).toBe(404)
  expect((await get('/studio/..%2f..%2fetc/passwd')).status).toBe(404)
})

test('a studio that is not built is not served', () => {
  expect(serveStudio(join(folder, 'none'))).toBeNull()
})
