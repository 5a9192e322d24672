import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testCertificate } from '../lib/images/test-certificates.ts'
import { pictureSignerOf } from './picture-signer.ts'

const dayMs = 24 * 3600_000
let folder: string
let number = 0
const warnings: string[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'moma-signer-'))
})
afterAll(() => rm(folder, { recursive: true }))
beforeEach(() => {
  warnings.length = 0
})

async function files(settings: Parameters<typeof testCertificate>[0] = {}) {
  const made = await testCertificate(settings)
  number += 1
  const [certificate, key] = [join(folder, `${number}.pem`), join(folder, `${number}.key`)]
  await Promise.all([writeFile(certificate, made.certificates), writeFile(key, made.privateKey)])
  return { MOMA_C2PA_CERTIFICATE: certificate, MOMA_C2PA_KEY: key }
}
const open = (config: Parameters<typeof pictureSignerOf>[0]) => pictureSignerOf(config, (text) => warnings.push(text))

test('nobody signs where no variable says so', async () => {
  expect(await open({})).toBeNull()
})

test('a certificate that soon expires is warned of', async () => {
  expect(await open(await files())).not.toBeNull()
  expect(warnings).toEqual([])
  expect(await open(await files({ notAfter: new Date(Date.now() + 3.5 * dayMs) }))).not.toBeNull()
  expect(warnings).toEqual(['the certificate that pictures are signed by expires in 3 days'])
})

test('files that are missing, unreadable, or can not sign stop the start', async () => {
  const own = await files()
  const { MOMA_C2PA_CERTIFICATE } = own
  await expect(open({ MOMA_C2PA_CERTIFICATE })).rejects.toThrow(
    'MOMA_C2PA_KEY is missing; allowed: the path of a PEM file, as signing needs certificate and key.',
  )
  await expect(open({ MOMA_C2PA_KEY: own.MOMA_C2PA_KEY })).rejects.toThrow('MOMA_C2PA_CERTIFICATE is missing')
  await expect(open({ ...own, MOMA_C2PA_KEY: join(folder, 'nowhere') })).rejects.toThrow(
    "MOMA_C2PA_KEY can't be read (ENOENT); allowed: the path of a PEM file.",
  )
  await expect(open({ ...own, MOMA_C2PA_CERTIFICATE: own.MOMA_C2PA_KEY })).rejects.toThrow(
    'MOMA_C2PA_CERTIFICATE: the file holds no certificate in PEM.',
  )
  await expect(open({ ...(await files()), MOMA_C2PA_CERTIFICATE })).rejects.toThrow(
    'MOMA_C2PA_KEY: the file does not belong to the first certificate.',
  )
  await expect(open(await files({ notAfter: new Date(Date.now() - dayMs) }))).rejects.toThrow(
    'MOMA_C2PA_CERTIFICATE: the file has expired:',
  )
})
