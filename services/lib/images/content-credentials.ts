import { createPrivateKey, type KeyObject, randomUUID, constants as rsa, sign, X509Certificate } from 'node:crypto'
import type { Signer } from '@trustnxt/c2pa-ts/cose'
import { software } from './provenance.ts'

/** Writes Content Credentials (C2PA 2.1, https://spec.c2pa.org) into finished pictures. */
export interface PictureSigner {
  /**
   * The PNG with a signed manifest (chunk `caBX`) behind its header: made by a trained model, by this software, and
   * nothing of it changed since. About 2 kB and the certificates larger; every time other bytes. Throws for other bytes
   * than those of a PNG.
   */
  sign(png: Uint8Array): Promise<Uint8Array>
  /** Certificates are good until then; what was signed by them, too, as no time-stamping service is asked. */
  readonly expires: Date
}

/** A certificate or a key that can't sign; the message follows a name of the file. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError'
  readonly file: 'certificate' | 'key'

  constructor(file: 'certificate' | 'key', message: string) {
    super(message)
    this.file = file
  }
}

/** Purposes of a certificate (C2PA 2.1, §14.5.1): signing claims, e-mail, documents. */
const purposes = ['1.3.6.1.4.1.62558.2.1', '1.3.6.1.5.5.7.3.4', '1.3.6.1.5.5.7.3.36']

/** Room in a manifest for the longest signature, that of RSA with 8,192 bits. */
const signatureBytes = 1024

type Algorithm = 'ES256' | 'ES384' | 'ES512' | 'PS256' | 'Ed25519'

/**
 * `certificates`: the signer's own in PEM, then those of who issued it, up to one that is trusted. `privateKey`: its key
 * in PEM, EC (P-256, P-384, P-521), Ed25519 or RSA from 2,048 bits on. Throws a CredentialError.
 */
export async function openPictureSigner(certificates: string, privateKey: string): Promise<PictureSigner> {
  const key = readKey(privateKey)
  const algorithm = algorithmOf(key)
  const chain = readChain(certificates)
  const own = chain[0]!
  checkCertificate(own, key)
  // Half a megabyte of code, for those who sign.
  const [{ PNG }, { CoseAlgorithmIdentifier }, manifests, x509] = await Promise.all([
    import('@trustnxt/c2pa-ts/asset'),
    import('@trustnxt/c2pa-ts/cose'),
    import('@trustnxt/c2pa-ts/manifest'),
    import('@peculiar/x509'),
  ])
  const [certificate, ...chainCertificates] = chain.map(({ raw }) => new x509.X509Certificate(new Uint8Array(raw)))
  const signer: Signer = {
    certificate: certificate!,
    chainCertificates,
    algorithm: CoseAlgorithmIdentifier[algorithm],
    sign: async (payload) => signatureOf(payload, key, algorithm),
  }
  return {
    expires: new Date(own.validTo),
    async sign(png) {
      const asset = new PNG(png)
      const store = new manifests.ManifestStore()
      const manifest = store.createManifest({
        claimVersion: manifests.ClaimVersion.V2,
        assetFormat: 'image/png',
        instanceID: `xmp:iid:${randomUUID()}`,
        defaultHashAlgorithm: 'SHA-256',
        signer,
      })
      manifest.claim!.claimGeneratorName = software
      manifest.claim!.claimGeneratorVersion = undefined
      manifest.signature!.signatureData.paddingLength = signatureBytes
      const bytesOfPicture = manifests.DataHashAssertion.create('SHA-256')
      manifest.addAssertion(bytesOfPicture)
      const actions = new manifests.ActionAssertion()
      actions.label = manifests.AssertionLabels.actionsV2
      actions.actions.push({
        action: manifests.ActionType.C2paCreated,
        digitalSourceType: manifests.DigitalSourceType.TrainedAlgorithmicMedia,
        softwareAgent: { name: software },
      })
      manifest.addAssertion(actions)
      await asset.ensureManifestSpace(store.measureSize())
      await bytesOfPicture.updateWithAsset(asset)
      await manifest.sign(signer)
      await asset.writeManifestJUMBF(store.getBytes())
      return asset.getDataRange()
    },
  }
}

function readKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch {
    throw new CredentialError('key', 'is no private key in PEM without a passphrase')
  }
}

function readChain(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw new CredentialError('certificate', 'holds no certificate in PEM')
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block)
    } catch {
      throw new CredentialError('certificate', `can't be read at its certificate ${i + 1}`)
    }
  })
}

function algorithmOf({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): Algorithm {
  const curves: Readonly<Record<string, Algorithm>> = { prime256v1: 'ES256', secp384r1: 'ES384', secp521r1: 'ES512' }
  const { namedCurve = '', modulusLength = 0 } = details ?? {}
  const algorithm = type === 'ec' ? curves[namedCurve] : type === 'ed25519' ? 'Ed25519' : undefined
  if (algorithm) return algorithm
  if (type === 'rsa' && modulusLength >= 2048 && modulusLength <= 8192) return 'PS256'
  const allowed = 'EC (P-256, P-384, P-521), Ed25519 and RSA of 2,048 to 8,192 bits'
  throw new CredentialError(
    'key',
    `is ${[type, namedCurve || modulusLength || ''].join(' ').trim()}; allowed: ${allowed}`,
  )
}

/** As validators will: they refuse a picture for what is wrong with its signer. */
function checkCertificate(own: X509Certificate, key: KeyObject): void {
  const wrong = (message: string) => new CredentialError('certificate', message)
  if (!own.checkPrivateKey(key)) throw new CredentialError('key', 'does not belong to the first certificate')
  if (own.ca || own.subject === own.issuer)
    throw wrong('begins with an authority; allowed: one that an authority issued')
  if (!own.keyUsage?.some((purpose) => purposes.includes(purpose)))
    throw wrong(`is for other purposes; its extended key usage must name one of ${purposes.join(', ')}`)
  if (Date.parse(own.validTo) <= Date.now()) throw wrong(`has expired: ${own.validTo}`)
  if (Date.parse(own.validFrom) > Date.now()) throw wrong(`is not valid yet: ${own.validFrom}`)
}

/** As COSE has it (RFC 9053, §2; RFC 8230, §2): of EC keys r and s side by side, of RSA with PSS and a salt as long as the hash. */
function signatureOf(payload: Uint8Array, key: KeyObject, algorithm: Algorithm): Uint8Array {
  const hash = algorithm === 'Ed25519' ? null : `sha${algorithm.slice(2)}`
  const padding = { padding: rsa.RSA_PKCS1_PSS_PADDING, saltLength: rsa.RSA_PSS_SALTLEN_DIGEST }
  const form = algorithm === 'PS256' ? padding : { dsaEncoding: 'ieee-p1363' as const }
  return new Uint8Array(sign(hash, payload, { key, ...form }))
}
