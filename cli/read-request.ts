import { createReadStream } from 'node:fs'
import { checkSize, completeRequest, type GenerationRequest } from '../services/generation/request.ts'
import type { SubjectFiles } from '../services/generation/subject.ts'
import { type Bundle, bundleState, openBundle } from '../services/lib/bundles/bundles.ts'
import type { PictureSigner } from '../services/lib/images/content-credentials.ts'
import { defaultImageLimits } from '../services/lib/images/limits.ts'
import { requireProvider } from '../services/lib/runtime/providers.ts'
import type { ExecutionProvider } from '../services/lib/runtime/recipe.ts'
import { checkLabel } from '../services/lib/tokenizers/text.ts'
import { InputFileError } from './input-file-error.ts'
import { checkOutFolder } from './out-folder.ts'

export interface GenerateOptions extends Omit<GenerationRequest, 'prompt' | 'negativePrompt'> {
  readonly image: string
  readonly mask?: string
  readonly label: string
  readonly prompt: string[]
  readonly negative?: string
  readonly out: string
  readonly bundle: string
  readonly size?: number
  readonly provider: ExecutionProvider
  readonly threads: number
  readonly memory: number
  readonly json?: boolean
  readonly quiet?: boolean
  readonly preview: boolean
  readonly decodePreviews: number
}

/** A request whose options are sound and whose files are read. */
export interface Asked {
  readonly bundle: Bundle
  /** Whether the bundle's weights are random numbers. */
  readonly rehearsal: boolean
  readonly request: Omit<GenerationRequest, 'prompt'>
  readonly files: SubjectFiles
  readonly sizePx: number
  /** Absolute; the pictures go there. */
  readonly folder: string
  /** Signs the pictures; null where the environment names nobody. */
  readonly signer: PictureSigner | null
}

/** Reads what can be wrong with a request but for what the pictures show, before anything of the bundle is opened. */
export async function readRequest(options: GenerateOptions, warn: (message: string) => void): Promise<Asked> {
  const bundle = await openBundle(options.bundle)
  const rehearsal = (await bundleState(bundle)).kind === 'rehearsal'
  await requireProvider(options.provider)
  checkLabel(options.label)
  const { image, mask, label, prompt, negative, ...rest } = options
  const request: Omit<GenerationRequest, 'prompt'> = {
    ...rest,
    ...(negative === undefined ? {} : { negativePrompt: negative }),
  }
  for (const one of prompt) completeRequest({ ...request, prompt: one }, bundle.manifest.settings)
  const sizePx = checkSize(options.size ?? bundle.manifest.settings.sizePx)
  const photo = await readInput('--image', image)
  const maskFile = mask === undefined ? null : await readInput('--mask', mask)
  const files = { photo, mask: maskFile, label }
  const signer = await readSigner(warn)
  return { bundle, rehearsal, request, files, sizePx, folder: await checkOutFolder(options.out), signer }
}

/** What it takes is read only where somebody signs. */
async function readSigner(warn: (message: string) => void): Promise<PictureSigner | null> {
  const { MOMA_C2PA_CERTIFICATE, MOMA_C2PA_KEY } = process.env
  if (!MOMA_C2PA_CERTIFICATE && !MOMA_C2PA_KEY) return null
  const { pictureSignerOf } = await import('../services/generation/picture-signer.ts')
  return pictureSignerOf({ MOMA_C2PA_CERTIFICATE, MOMA_C2PA_KEY }, warn)
}

async function readInput(option: string, path: string): Promise<Uint8Array> {
  const { maxBytes } = defaultImageLimits
  try {
    const chunks: Buffer[] = await createReadStream(path, { end: maxBytes }).toArray()
    const bytes = Buffer.concat(chunks)
    if (bytes.length <= maxBytes) return bytes
  } catch (error) {
    throw new InputFileError(`${option} ${path} can't be read: ${error instanceof Error ? error.message : error}`)
  }
  throw new InputFileError(`${option} ${path} is too large, allowed are ${maxBytes} bytes`)
}
