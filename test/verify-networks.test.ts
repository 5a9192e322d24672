import { cpSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runProgram } from '../cli/program.ts'
import { openLocalServices } from '../services/generation/local-services.ts'
import { unusedTensors } from '../services/generation/unused-tensors.ts'
import { type Bundle, openBundle } from '../services/lib/bundles/bundles.ts'
import { lockFiles, writeLock } from '../services/lib/bundles/lock.ts'
import { sourcesDigest } from '../services/lib/bundles/manifest.ts'
import { verifyNetworks } from '../services/lib/bundles/verify-networks.ts'
import { createNetworkPool } from '../services/lib/runtime/pool.ts'
import { openCheckpoint, readTensor } from '../services/lib/weights/checkpoint.ts'
import { type TensorData, writeSafetensors } from '../services/lib/weights/write-safetensors.ts'
import { createToyBundle, type ToyBundle } from './toy-bundle.ts'

let toy: ToyBundle
let bundle: Bundle

beforeEach(async () => {
  toy = createToyBundle()
  bundle = await openBundle(toy.name, toy.places)
})

afterEach(() => toy[Symbol.dispose]())

/** Writes one file of the bundle anew with other tensors; the recorded one stays as it is. */
async function rewrite(path: string, change: (tensors: TensorData[]) => TensorData[]): Promise<void> {
  const folder = join(toy.folder, dirname(path))
  const original = realpathSync(folder)
  rmSync(folder)
  cpSync(original, folder, { recursive: true })
  const file = join(toy.folder, path)
  const tensors = [...openCheckpoint(file).tensors.values()].map((entry) => ({ ...entry, chunks: [readTensor(entry)] }))
  await writeSafetensors(file, change(tensors))
}

async function problems(): Promise<string[]> {
  const pool = createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 0 })
  const { networks } = await openLocalServices(bundle, pool)
  const found = await verifyNetworks(bundle, networks, unusedTensors)
  expect(pool.loaded).toEqual([])
  return found
}

test("a bundle whose tensors are its networks' has no problem, published leftovers included", async () => {
  expect(await problems()).toEqual([])
  const { networks } = await openLocalServices(
    bundle,
    createNetworkPool({ provider: 'cpu', threads: 1, memoryBytes: 0 }),
  )
  // Without the list of what is left over on purpose, LLaVA's head and tower are nobody's.
  expect(await verifyNetworks(bundle, networks, {})).toContainEqual(
    expect.stringMatching(/^networks\/llava\/.*: no network takes the tensors 'lm_head\.weight', /),
  )
})

test('a missing tensor, one of another shape and one too many are each named, once, all in one go', async () => {
  await rewrite('networks/vae/diffusion_pytorch_model.safetensors', (tensors) =>
    tensors.filter(({ name }) => name !== 'quant_conv.bias'),
  )
  await rewrite('networks/clip-text/model.safetensors', (tensors) =>
    tensors.map((tensor) =>
      tensor.name.endsWith('position_embedding.weight') ? { ...tensor, shape: tensor.shape.toReversed() } : tensor,
    ),
  )
  await rewrite('networks/unet/diffusion_pytorch_model.safetensors', (tensors) => [
    ...tensors,
    { name: 'conv_out.gate', dtype: 'float32', shape: [1], chunks: [new Uint8Array(4)] },
  ])
  const file = (path: string) => join(toy.folder, path)
  expect(await problems()).toEqual([
    expect.stringContaining(
      `text encoder: ${file('networks/clip-text/model.safetensors')}: tensor 'text_model.embeddings.position_embedding.weight' has shape [`,
    ),
    `VAE encoder: ${file('networks/vae/diffusion_pytorch_model.safetensors')}: tensor 'quant_conv.bias' is missing`,
    "networks/unet/diffusion_pytorch_model.safetensors: no network takes the tensors 'conv_out.gate'.",
  ])
})

test('models verify says it: checksums first, then tensors', async () => {
  const verify = async () => {
    let said = ''
    const code = await runProgram(['models', 'verify', toy.name], (text) => {
      said += text
    })
    return { code, said }
  }
  const lock = async () => {
    const paths = readdirSync(toy.folder, { recursive: true, encoding: 'utf8' })
    const files = paths.filter((path) => statSync(join(toy.folder, path)).isFile() && path.includes('/'))
    const { manifest, folder } = bundle
    const entries = await lockFiles(folder, files)
    await writeLock(folder, {
      formatVersion: 1,
      bundle: toy.name,
      sources: sourcesDigest(manifest.sources),
      files: entries,
    })
  }
  const { MOMA_MODELS } = process.env
  process.env.MOMA_MODELS = toy.models
  try {
    await rewrite('networks/unet/diffusion_pytorch_model.safetensors', (tensors) => tensors)
    await lock()
    expect(await verify()).toEqual({ code: 0, said: '' })
    await rewrite('networks/vae/diffusion_pytorch_model.safetensors', (tensors) => tensors.slice(1))
    expect(await verify()).toEqual({
      code: 3,
      said: expect.stringContaining('networks/vae/diffusion_pytorch_model.safetensors has '),
    })
    // A lock of files that never fitted the networks.
    await lock()
    expect(await verify()).toEqual({ code: 3, said: expect.stringMatching(/^moma: VAE \w+: .* is missing\n$/) })
    // What pictures are measured with is looked at too.
    await rewrite('networks/vit/model.safetensors', (tensors) => tensors.slice(1))
    await lock()
    const { said } = await verify()
    expect(said).toMatch(/^DINO: .*networks\/vit\/model\.safetensors: tensor .* is missing$/m)
  } finally {
    if (MOMA_MODELS === undefined) delete process.env.MOMA_MODELS
    else process.env.MOMA_MODELS = MOMA_MODELS
  }
})
