import { generateKeyPairSync, type KeyObject, webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'

export interface TestCertificate {
  /** The signer's, then the authority's. */
  readonly certificates: string
  readonly privateKey: string
  readonly authority: string
}

interface TestSettings {
  readonly key?: { readonly publicKey: KeyObject; readonly privateKey: KeyObject }
  readonly purposes?: readonly string[]
  /** What it is the certificate of. */
  readonly names?: JsonGeneralNames
  readonly notBefore?: Date
  readonly notAfter?: Date
}

const dayMs = 24 * 3600_000
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const documentSigning = '1.3.6.1.5.5.7.3.36'

/** An authority of this moment, and a certificate that it issued, for signing documents and a year where nothing else is said. */
export async function testCertificate({
  key = generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  purposes = [documentSigning],
  names = [],
  notBefore = new Date(Date.now() - dayMs),
  notAfter = new Date(Date.now() + 365 * dayMs),
}: TestSettings = {}): Promise<TestCertificate> {
  const keys = await webcrypto.subtle.generateKey(ecdsa, true, ['sign', 'verify'])
  const authority = await X509CertificateGenerator.createSelfSigned({
    name: 'O=Test, CN=Test authority',
    keys,
    notBefore: new Date(0),
    notAfter: new Date(Date.now() + 3650 * dayMs),
    signingAlgorithm: ecdsa,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  })
  const own = await X509CertificateGenerator.create({
    subject: 'O=Test, CN=Test operator',
    issuer: authority.subject,
    publicKey: key.publicKey.export({ type: 'spki', format: 'der' }),
    signingKey: keys.privateKey,
    signingAlgorithm: ecdsa,
    notBefore,
    notAfter,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([...purposes]),
      await AuthorityKeyIdentifierExtension.create(keys.publicKey),
      ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : []),
    ],
  })
  return {
    certificates: `${own.toString('pem')}\n${authority.toString('pem')}\n`,
    privateKey: key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    authority: authority.toString('pem'),
  }
}
