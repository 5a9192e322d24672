import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { requireSight } from './strangers.ts'

const loopback = { host: '127.0.0.1', port: 7404 }
const anywhere = { host: '0.0.0.0', port: 7404 }
const told = (door: string) =>
  `MOMA_SAFETY_REQUIRE is missing: the bundle moma-toy has no person detector, and ${door} lets in others than those on ` +
  'this machine; allowed: a bundle that has one, or the value words, to judge by words alone.'

test.each([
  ['MOMA_LISTEN 0.0.0.0:7404', {}, [loopback, anywhere]],
  ['HOST 0.0.0.0', { HOST: '0.0.0.0' }, [loopback]],
  ['MOMA_PUBLIC_URL https://moma.example.com', { MOMA_PUBLIC_URL: 'https://moma.example.com' }, []],
])('%s needs more than words, or somebody who says that words will do', async (door, env, addresses) => {
  await expect(requireSight(env, 'moma-toy', addresses)).rejects.toMatchObject({
    name: 'ConfigError',
    message: told(door),
  })
  await requireSight({ ...env, MOMA_SAFETY_REQUIRE: 'words' }, 'moma-toy', addresses)
  await requireSight(env, 'moma-mini', addresses)
})

test('on loopback any bundle will do', async () => {
  await requireSight({}, 'moma-toy', [loopback, { host: '::1', port: 1 }, { host: 'localhost', port: 1 }])
  await requireSight({ HOST: 'localhost', MOMA_PUBLIC_URL: 'http://127.0.0.1:4000' }, 'moma-toy', [])
})

test.each([
  ['MOMA_LISTEN 0.0.0.0:7404', ['serve', 'vision', 'safety'], { MOMA_LISTEN: '0.0.0.0:7404' }],
  ['HOST 0.0.0.0', ['start'], { HOST: '0.0.0.0' }],
])(
  'by %s a mesh does not start',
  (door, args, env) => {
    const data = mkdtempSync(join(tmpdir(), 'moma-strangers-'))
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [fileURLToPath(new URL('../../bin/moma.js', import.meta.url)), ...args],
      { encoding: 'utf8', env: { ...process.env, MOMA_DATA: data, MOMA_BUNDLE: 'moma-toy', ...env }, timeout: 20_000 },
    )
    rmSync(data, { recursive: true })
    expect({ status, stdout, stderr }).toEqual({ status: 2, stdout: '', stderr: `moma: ${told(door)}\n` })
  },
  30_000,
)
