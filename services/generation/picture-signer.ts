import { readFile } from 'node:fs/promises'
import type { z } from 'zod'
import { CredentialError, openPictureSigner, type PictureSigner } from '../lib/images/content-credentials.ts'
import { ConfigError, textSetting } from '../lib/mesh/config.ts'

/** Paths of PEM files. With both, finished pictures are signed. */
export const signerShape = {
  MOMA_C2PA_CERTIFICATE: textSetting.optional(),
  MOMA_C2PA_KEY: textSetting.optional(),
}

const dayMs = 24 * 3600_000
const warnedBeforeDays = 30

/**
 * Who signs pictures; null where the variables name nobody. Warns of certificates that soon expire. Throws a ConfigError
 * where one variable is missing, or where a file can't be read or can't sign.
 */
export async function pictureSignerOf(
  config: z.infer<z.ZodObject<typeof signerShape>>,
  warn: (message: string) => void,
): Promise<PictureSigner | null> {
  const { MOMA_C2PA_CERTIFICATE: certificate, MOMA_C2PA_KEY: key } = config
  if (!certificate && !key) return null
  if (!certificate || !key) {
    const missing = certificate ? 'MOMA_C2PA_KEY' : 'MOMA_C2PA_CERTIFICATE'
    throw new ConfigError(
      `${missing} is missing; allowed: the path of a PEM file, as signing needs certificate and key.`,
    )
  }
  const files = await Promise.all([readPem('MOMA_C2PA_CERTIFICATE', certificate), readPem('MOMA_C2PA_KEY', key)])
  try {
    const signer = await openPictureSigner(...files)
    const days = Math.floor((signer.expires.getTime() - Date.now()) / dayMs)
    if (days < warnedBeforeDays) warn(`the certificate that pictures are signed by expires in ${days} days`)
    return signer
  } catch (error) {
    if (!(error instanceof CredentialError)) throw error
    const name = error.file === 'key' ? 'MOMA_C2PA_KEY' : 'MOMA_C2PA_CERTIFICATE'
    throw new ConfigError(`${name}: the file ${error.message}.`)
  }
}

async function readPem(name: keyof typeof signerShape, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? error.code : error
    throw new ConfigError(`${name} can't be read (${reason}); allowed: the path of a PEM file.`)
  }
}
