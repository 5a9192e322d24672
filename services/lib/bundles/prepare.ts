import { mkdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { openCheckpoint } from '../weights/checkpoint.ts'
import { writeInt4Checkpoint } from '../weights/int4.ts'
import { joinCheckpoints } from '../weights/open-weights.ts'
import type { Checkpoint } from '../weights/tensor-entry.ts'
import { type Bundle, firstMatches } from './bundles.ts'
import { BundleError } from './errors.ts'

/** Where the decoder in 4 bits lies in a bundle's folder; a manifest that lists it first takes it as soon as it is there. */
export const preparedDecoder = 'prepared/decoder-int4.safetensors'

/** The decoder's linear layers; norms, token table and projector stay as they are. */
const quantized = /^model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj\.weight$/

export interface PrepareReport {
  readonly path: string
  readonly sizeBytes: number
}

/**
 * Writes the decoder in 4 bits (blocks of 32) beside the published weights, without the tensors that `unused` names.
 * Throws a BundleError where the bundle does not take a prepared decoder or its weights are missing.
 */
export async function prepareDecoder(
  bundle: Bundle,
  unused: readonly RegExp[],
  onProgress?: (doneBytes: number, totalBytes: number) => void,
): Promise<PrepareReport> {
  const { manifest, folder } = bundle
  const patterns = manifest.networks.decoder.files
  if (!patterns.includes(preparedDecoder)) {
    throw new BundleError(
      'manifest',
      `The bundle ${manifest.name} has a decoder that is used as it is; there is nothing to prepare.`,
    )
  }
  const files = await firstMatches(
    folder,
    patterns.filter((pattern) => pattern !== preparedDecoder),
  )
  if (files.length === 0) {
    throw new BundleError(
      'notPulled',
      `The bundle ${manifest.name} has no decoder in ${folder}. Fetch it with: moma models pull ${manifest.name}.`,
    )
  }
  const source = joinCheckpoints(files.map((file) => openCheckpoint(join(folder, file))))
  const wanted = [...source.tensors].filter(([name]) => !unused.some((pattern) => pattern.test(name)))
  const checkpoint: Checkpoint = { source: source.source, tensors: new Map(wanted) }
  const path = join(folder, preparedDecoder)
  await mkdir(dirname(path), { recursive: true })
  await writeInt4Checkpoint(checkpoint, (name) => quantized.test(name), path, onProgress)
  return { path, sizeBytes: (await stat(path)).size }
}
