import { generateKeyPairSync } from 'node:crypto'
import { PNG } from '@trustnxt/c2pa-ts/asset'
import { SuperBox } from '@trustnxt/c2pa-ts/jumbf'
import { ActionAssertion, ManifestStore } from '@trustnxt/c2pa-ts/manifest'
import { openPictureSigner } from './content-credentials.ts'
import { decodeImage } from './decode.ts'
import { encodeImage, readMetadata } from './encode.ts'
import { readTexts } from './png-text.ts'
import { testCertificate } from './test-certificates.ts'
import { testImage } from './test-images.ts'

const image = testImage(48, 32)
const provenance = { seed: 7n, settings: { prompt: 'a dog on the beach' } }
const png = await encodeImage(image, 'png', provenance)

async function validated(bytes: Uint8Array) {
  const asset = new PNG(Uint8Array.from(bytes))
  const store = ManifestStore.read(SuperBox.fromBuffer(Uint8Array.from(asset.getManifestJUMBF()!)))
  const { isValid, statusEntries } = await store.validate(asset)
  return { isValid, failed: statusEntries.flatMap(({ code, success }) => (success ? [] : [code])), store }
}

// Of P-521 the library's own validator says no; the reference library, asked by .ci/goldens, says yes.
test.each([
  ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ['Ed25519', generateKeyPairSync('ed25519')],
  ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 })],
])('a picture signed with %s is valid, and not once a byte of it is another', async (_, key) => {
  const { certificates, privateKey } = await testCertificate({ key })
  const signer = await openPictureSigner(certificates, privateKey)
  const signed = await signer.sign(png)
  expect(await validated(signed)).toMatchObject({ isValid: true, failed: [] })
  const changed = Uint8Array.from(signed)
  changed[Buffer.from(changed).indexOf('a dog on the beach')] = 'A'.charCodeAt(0)
  expect((await validated(changed)).failed).toContain('assertion.dataHash.mismatch')
})

test('it says that a model made the picture, and everything else stays as it was', async () => {
  const { certificates, privateKey } = await testCertificate()
  const signed = await (await openPictureSigner(certificates, privateKey)).sign(png)
  const manifest = (await validated(signed)).store.getActiveManifest()!
  const action = manifest.assertions!.assertions.find((assertion) => assertion instanceof ActionAssertion)
  expect(action?.actions).toMatchObject([
    {
      action: 'c2pa.created',
      digitalSourceType: 'http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia',
      softwareAgent: { name: 'MoMA Mesh' },
    },
  ])
  expect(await decodeImage(signed)).toEqual(image)
  expect(await readMetadata(signed)).toEqual(await readMetadata(png))
  // Which checks every chunk's checksum.
  expect(readTexts(signed)).toEqual(readTexts(png))
  expect(signed.length - png.length).toBeLessThan(6000)
})

test('what can not sign', async () => {
  const { certificates, privateKey, authority } = await testCertificate()
  const other = await testCertificate()
  const open = async (settings: Parameters<typeof testCertificate>[0]) => {
    const made = await testCertificate(settings)
    return openPictureSigner(made.certificates, made.privateKey)
  }
  await expect(openPictureSigner('', privateKey)).rejects.toThrow('holds no certificate in PEM')
  await expect(openPictureSigner(certificates, 'no key')).rejects.toThrow('is no private key in PEM')
  await expect(openPictureSigner(certificates, other.privateKey)).rejects.toThrow(
    'does not belong to the first certificate',
  )
  await expect(openPictureSigner(authority, privateKey)).rejects.toThrow('does not belong to the first certificate')
  await expect(open({ key: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }) })).rejects.toThrow(
    'is ec secp256k1; allowed: EC',
  )
  await expect(open({ key: generateKeyPairSync('rsa', { modulusLength: 1024 }) })).rejects.toThrow(
    'is rsa 1024; allowed: EC',
  )
  await expect(open({ purposes: ['1.3.6.1.5.5.7.3.1'] })).rejects.toThrow('is for other purposes')
  await expect(open({ notAfter: new Date(Date.now() - 1000) })).rejects.toThrow('has expired')
  await expect(open({ notBefore: new Date(Date.now() + 86_400_000) })).rejects.toThrow('is not valid yet')
})

test('what is no PNG is not signed', async () => {
  const { certificates, privateKey } = await testCertificate()
  const signer = await openPictureSigner(certificates, privateKey)
  await expect(signer.sign(new Uint8Array(100))).rejects.toThrow()
})
