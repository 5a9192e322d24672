import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serviceServes } from '../../../cli/health.ts'
import { testCertificate } from '../images/test-certificates.ts'
import { ConfigError, readConfig, serverShape } from './config.ts'
import { visionContract } from './contracts.ts'
import { createMeshServer } from './grpc-server.ts'
import { alwaysReady } from './readiness.ts'
import { tlsOf } from './running.ts'
import { watchExpiry } from './tls.ts'

const dayMs = 24 * 3600_000
/** Of servers and of clients: every process of the mesh is both. */
const both = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']
const folder = mkdtempSync(join(tmpdir(), 'moma-tls-'))
afterAll(() => rmSync(folder, { recursive: true }))

let number = 0
/** The variables that name a certificate's files. */
async function variables(settings: Parameters<typeof testCertificate>[0]) {
  const { certificates, privateKey, authority } = await testCertificate({ purposes: both, ...settings })
  const file = (name: string, text: string) => {
    const path = join(folder, `${++number}-${name}`)
    writeFileSync(path, text)
    return path
  }
  return {
    MOMA_TLS_CERTIFICATE: file('tls.crt', certificates),
    MOMA_TLS_KEY: file('tls.key', privateKey),
    MOMA_TLS_AUTHORITY: file('ca.crt', authority),
  }
}
const tlsIn = (env: NodeJS.ProcessEnv) => tlsOf(readConfig(serverShape, env))

/** What a probe in the process's own container is told, of a service with the certificate of `env`. */
async function probed(env: NodeJS.ProcessEnv, asker = env): Promise<boolean> {
  const methods = Object.fromEntries(Object.keys(visionContract.definition).map((name) => [name, async () => ({})]))
  const services = [{ contract: visionContract, methods, readiness: alwaysReady }]
  const server = createMeshServer({ services, tls: await tlsIn(env) })
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 })
  try {
    return await serviceServes(`localhost:${port}`, asker)
  } finally {
    await server.dispose()
  }
}

test('a probe is answered over mutual TLS where the certificate is of localhost too', async () => {
  const named = await variables({
    names: [
      { type: 'dns', value: 'vision-0.vision' },
      { type: 'dns', value: 'localhost' },
    ],
  })
  expect(await probed(named)).toBe(true)
  expect(await probed(await variables({ names: [{ type: 'dns', value: 'vision-0.vision' }] }))).toBe(false)
  // Without TLS, as the kubelet's own probes of gRPC ask.
  expect(await probed(named, {})).toBe(false)
})

test('a certificate that soon expires is warned of, at the start and as time passes', async () => {
  const warnings: string[] = []
  const watch = async (days: number) => {
    const tls = await tlsIn(await variables({ notAfter: new Date(Date.now() + days * dayMs) }))
    watchExpiry(tls!, (message) => warnings.push(message))[Symbol.dispose]()
  }
  await watch(40)
  expect(warnings).toEqual([])
  await watch(3.5)
  await watch(-0.5)
  expect(warnings).toEqual([
    'the certificate of MOMA_TLS_CERTIFICATE expires in 3 days',
    'the certificate of MOMA_TLS_CERTIFICATE, as it was read at the start, has expired',
  ])
})

test('a file that is no certificate stops the start', async () => {
  const { MOMA_TLS_KEY, ...others } = await variables({})
  await expect(tlsIn({ ...others, MOMA_TLS_KEY, MOMA_TLS_CERTIFICATE: MOMA_TLS_KEY })).rejects.toThrow(ConfigError)
})
