// npm exec -- node test/parity/sign-pictures.ts FOLDER: a signed picture for every kind of key, and who issued its
// certificate, for training/goldens/credentials.py to judge by the reference library.
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openPictureSigner } from '../../services/lib/images/content-credentials.ts'
import { encodeImage } from '../../services/lib/images/encode.ts'
import { testCertificate } from '../../services/lib/images/test-certificates.ts'
import { testImage } from '../../services/lib/images/test-images.ts'

const keys = {
  'p-256': generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'p-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'p-521': generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  ed25519: generateKeyPairSync('ed25519'),
  'rsa-2048': generateKeyPairSync('rsa', { modulusLength: 2048 }),
  'rsa-4096': generateKeyPairSync('rsa', { modulusLength: 4096 }),
}

const folder = process.argv[2]
if (!folder) throw new Error('the folder is missing; allowed: a path')
await mkdir(folder, { recursive: true })
const png = await encodeImage(testImage(128, 96), 'png', { seed: 7n, settings: { prompt: 'a dog on the beach' } })
for (const [name, key] of Object.entries(keys)) {
  const { certificates, privateKey, authority } = await testCertificate({ key })
  const signer = await openPictureSigner(certificates, privateKey)
  await writeFile(join(folder, `${name}.png`), await signer.sign(png))
  await writeFile(join(folder, `${name}.pem`), authority)
}
