import { mkdir, readdir, readFile, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Bundle } from '../bundles/bundles.ts'
import { BundleError } from '../bundles/errors.ts'
import { isRehearsal, markRehearsal } from '../bundles/rehearsal-mark.ts'
import { bytesPerElement } from '../graph/dtype.ts'
import { type TensorData, writeSafetensors } from '../weights/write-safetensors.ts'
import { type StateDict, writeTorch } from '../weights/write-torch.ts'
import { randomValues } from './random-values.ts'
import { writeClipTokenizer, writeLlamaTokenizer } from './toy-tokenizers.ts'

/** One published file: where it lies in the bundle, whose names and shapes it has, and how it stores them. */
interface RehearsedFile {
  readonly path: string
  readonly layout: string
  readonly dtype: 'float32' | 'float16'
  /** Which of how many shards. */
  readonly shard?: readonly [index: number, count: number]
  /** Keys of the dicts that the file holds, for torch files that nest. */
  readonly dicts?: readonly string[]
}

const files: readonly RehearsedFile[] = [
  { path: 'unet/diffusion_pytorch_model.safetensors', layout: 'unet-sd15', dtype: 'float32' },
  { path: 'vae/diffusion_pytorch_model.safetensors', layout: 'vae-sd', dtype: 'float32' },
  { path: 'text_encoder/model.safetensors', layout: 'clip-text-l', dtype: 'float32' },
  { path: 'clip-vision/pytorch_model.bin', layout: 'clip-vision-l14-336', dtype: 'float32' },
  { path: 'vit-h/model.safetensors', layout: 'clip-vision-h14', dtype: 'float32' },
  { path: 'llava/pytorch_model-00001-of-00002.bin', layout: 'llava-llama-7b', dtype: 'float16', shard: [0, 2] },
  { path: 'llava/pytorch_model-00002-of-00002.bin', layout: 'llava-llama-7b', dtype: 'float16', shard: [1, 2] },
  {
    path: 'moma/attn_adapters_projectors.th',
    layout: 'moma-adapters',
    dtype: 'float32',
    dicts: ['llm_mapping', 'projectors', 'self_cross_attentions'],
  },
  {
    path: 'ip-adapter/ip-adapter_sd15.bin',
    layout: 'ip-adapter_sd15',
    dtype: 'float16',
    dicts: ['image_proj', 'ip_adapter'],
  },
]

/** Entries of the real vocabularies. */
const vocabularySizes = { clip: 49408, llama: 32000 }

type Layout = Readonly<Record<string, readonly number[]>>

export interface RehearseProgress {
  readonly file: string
  readonly doneBytes: number
  readonly totalBytes: number
}

/**
 * Writes checkpoints with the names, shapes, dtypes, shards and containers of a bundle's published files, filled with
 * random numbers, and tokenizers of the real sizes: everything that the real weights would prove about running them,
 * but not a picture of anything. `layouts` is the folder with the names and shapes. Throws a BundleError for a bundle
 * that no layout is known of, and when the disk has no room; the signal's reason when it is aborted.
 */
export async function rehearseBundle(
  bundle: Bundle,
  layouts: string,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (progress: RehearseProgress) => void } = {},
): Promise<{ readonly folder: string; readonly totalBytes: number }> {
  const { manifest, folder } = bundle
  if (manifest.name !== 'moma-sd15') {
    throw new BundleError(
      'manifest',
      `The bundle is ${JSON.stringify(manifest.name)}; a rehearsal is known of moma-sd15 only.`,
    )
  }
  const read = async (name: string): Promise<Layout> =>
    JSON.parse(await readFile(join(layouts, `${name}.json`), 'utf8'))
  const plans = await Promise.all(
    files.map(async (file) => ({ file, tensors: shardOf(await read(file.layout), file) })),
  )
  const bytesOf = (file: RehearsedFile, tensors: Layout) =>
    Object.values(tensors).reduce(
      (sum, shape) => sum + shape.reduce((product, size) => product * size, bytesPerElement[file.dtype]),
      0,
    )
  const totalBytes = plans.reduce((sum, { file, tensors }) => sum + bytesOf(file, tensors), 0)
  await mkdir(folder, { recursive: true })
  if ((await readdir(folder)).length > 0 && !(await isRehearsal(folder))) {
    throw new BundleError(
      'manifest',
      `${folder} holds pulled files, which a rehearsal would overwrite; set MOMA_MODELS to another folder.`,
    )
  }
  const { bavail, bsize } = await statfs(folder)
  if (bavail * bsize < totalBytes * 1.02) {
    const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1)
    throw new BundleError(
      'disk',
      `A rehearsal takes ${gigabytes(totalBytes)} GB in ${folder}; ${gigabytes(bavail * bsize)} GB are free.`,
    )
  }

  await markRehearsal(folder)
  let doneBytes = 0
  for (const { file, tensors } of plans) {
    const path = join(folder, file.path)
    await mkdir(dirname(path), { recursive: true })
    const counted = async function* (name: string, shape: readonly number[]) {
      for (const chunk of randomValues(name, file.dtype, shape)) {
        options.signal?.throwIfAborted()
        yield chunk
        doneBytes += chunk.length
        options.onProgress?.({ file: file.path, doneBytes, totalBytes })
      }
    }
    const data = Object.entries(tensors).map(
      ([name, shape]): TensorData => ({ name, dtype: file.dtype, shape, chunks: counted(name, shape) }),
    )
    if (file.path.endsWith('.safetensors')) await writeSafetensors(path, data, { format: 'pt' })
    else await writeTorch(path, stateDict(data, file.dicts ?? []))
  }
  await writeClipTokenizer(join(folder, manifest.tokenizers.clip.folder), vocabularySizes.clip)
  await writeLlamaTokenizer(join(folder, manifest.tokenizers.llama.folder), vocabularySizes.llama)
  return { folder, totalBytes }
}

/** The tensors of one shard: neighbours by name, about the same number of bytes in each. */
function shardOf(layout: Layout, { shard: [index, count] = [0, 1] }: RehearsedFile): Layout {
  const sizes = Object.entries(layout).map(([name, shape]) => ({
    name,
    shape,
    size: shape.reduce((product, one) => product * one, 1),
  }))
  const total = sizes.reduce((sum, { size }) => sum + size, 0)
  let before = 0
  const chosen = sizes.filter(({ size }) => {
    const place = Math.min(Math.floor((before / total) * count), count - 1)
    before += size
    return place === index
  })
  return Object.fromEntries(chosen.map(({ name, shape }) => [name, shape]))
}

/** Dicts within a dict for names that begin with a dict's key, one flat dict otherwise. */
function stateDict(data: readonly TensorData[], dicts: readonly string[]): StateDict {
  if (dicts.length === 0) return Object.fromEntries(data.map((tensor) => [tensor.name, tensor]))
  return Object.fromEntries(
    dicts.map((key) => {
      const inside = data.filter(({ name }) => name.startsWith(`${key}.`))
      return [key, Object.fromEntries(inside.map((tensor) => [tensor.name.slice(key.length + 1), tensor]))]
    }),
  )
}
